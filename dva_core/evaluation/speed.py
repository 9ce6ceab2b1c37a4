"""How fast the noise estimator is on this machine, against the same net computed the plain way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..autoencoder import frames_at_once
from ..diffusion import DEFAULT_SOLVER, DEFAULT_STEPS, find_solver
from ..progress import Progress, Watch, silent
from ..unet import UNet
from .plain_unet import plain_copy, plain_noise

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PLAIN, MATRIX = "plain", 2048
STEP, MOST_FRAMES = 500, 8

HOW = {
    "seconds": "median seconds of one evaluation of the net for one frame at step 500, after one that does not count;"
    " frames_at_once of them together, as the pipeline has it; nets and matrix products take turns in one process",
    "unet_ratio": "seconds of the plain net over those of this package's: the same weights in eager float32, channels"
    " before pixels, attention as two products and a softmax, SiLU over both conditions in every block, nothing kept",
    "eps_error": "root mean square of the difference to the plain net's noise, over that of the noise itself",
    "evaluations_per_frame": f"one edit with the solver {DEFAULT_SOLVER}: to invert and to decode",
    "frames_per_minute": "60 / (evaluations_per_frame * seconds); detection, encoders and pasting not counted",
    "gflops": "operations that torch.utils.flop_counter counts in one evaluation (a multiplication and an addition are"
    " two), in billions for each second",
    "matmul_gflops": f"the same for the product of two {MATRIX} x {MATRIX} matrices in the same precision",
    "peak_bytes": "most memory while the first net evaluates for the first time, before another is made or compiled:"
    " resident memory of the whole process on a CPU (null where there is no /proc), what PyTorch allocated on a GPU",
}

BuildNet = Callable[[torch.dtype], UNet]
"""build(dtype) -> the net with the same weights each time, in evaluation mode on its device."""


@dataclass(frozen=True)
class Timing:
    """Of one net in one precision, for one frame."""

    seconds: float
    gflops: float
    matmul_gflops: float
    eps_error: float


@torch.no_grad()
def measure_speed(
    build: BuildNet, precisions: Sequence[str], *, steps: int = DEFAULT_STEPS, repeats: int = 5,
    compiled: bool = False, progress: Progress = silent,
) -> dict[str, Any]:  # fmt: skip
    """The JSON-able report: seconds, ratios and rates of a net in some of `PRECISIONS`, and how each was made.

    Memory is that of the first precision.
    """
    watch = Watch("measure speed", (repeats + 1) * (len(precisions) + 1), progress)
    first = build(PRECISIONS[precisions[0]])
    frames = frames_at_once(first, MOST_FRAMES)
    x, t, faces = _inputs(first, frames)
    peak_bytes = _peak_bytes(x.device, partial(first, x, t, faces))
    operations = _operations(partial(first, x, t, faces)) / frames

    nets = {precisions[0]: first, **{name: build(PRECISIONS[name]) for name in precisions[1:]}}
    plain = plain_copy(build(torch.float32))
    evaluations = {PLAIN: partial(plain_noise, plain, x, t, faces)}
    for name, net in nets.items():
        evaluations[name] = partial(net, x, t, net.modulations(faces))
        if compiled:
            compile_net(net)
    operations_of_plain = _operations(evaluations[PLAIN]) / frames
    products = {name: _product(dtype, x.device) for name, dtype in PRECISIONS.items() if name in precisions}

    noise = {}
    for name, evaluate in evaluations.items():
        noise[name] = evaluate().clone()
        watch.tick()
    seconds = {name: [] for name in evaluations}
    product_seconds = {name: [] for name in products}
    for _ in range(repeats):
        for name, evaluate in evaluations.items():
            seconds[name].append(_timed(evaluate, x.device) / frames)
            if name in products:
                product_seconds[name].append(_timed(products[name], x.device))
            watch.tick()

    timings = {
        name: Timing(
            median(seconds[name]),
            operations / median(seconds[name]) / 1e9,
            2 * MATRIX**3 / median(product_seconds[name]) / 1e9,
            float((noise[name] - noise[PLAIN]).square().mean().sqrt() / noise[PLAIN].square().mean().sqrt()),
        )
        for name in nets
    }
    return _report(median(seconds[PLAIN]), operations_of_plain, timings, first.config.image_size, steps, peak_bytes) | {
        "frames_at_once": frames,
        "threads": torch.get_num_threads(),
        "device": str(x.device),
        "torch": torch.__version__,
        "compiled": compiled,
        "repeats": repeats,
    }


def compile_net(net: UNet) -> None:
    """Has PyTorch compile the net at its first evaluation; on an NVIDIA GPU, with CUDA graphs."""
    device = next(net.parameters()).device
    net.compile(mode="reduce-overhead" if device.type == "cuda" else None)


def evaluations_per_frame(steps: int, solver: str = DEFAULT_SOLVER) -> int:
    """What one edit of a clip costs for each frame: to invert it and to decode it once."""
    found = find_solver(solver, steps)
    return found.to_invert(steps) + found.to_decode(steps)


def speed_rows(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The report in lines, for `evaluation.report.table`."""
    rows: list[tuple[str, Any]] = [("seconds an evaluation, plain float32", report["seconds"][PLAIN])]
    for name in report["unet_ratio"]:
        rows += [
            (f"seconds an evaluation, {name}", report["seconds"][name]),
            (f"times as fast as plain, {name}", report["unet_ratio"][name]),
            (f"error of the noise, {name}", report["eps_error"][name]),
            (f"GFLOP/s, {name}", report["gflops"][name]),
            (f"GFLOP/s of a matrix product, {name}", report["matmul_gflops"][name]),
            (f"frames a minute, {name}", report["frames_per_minute"][name]),
        ]
    return [
        *rows,
        ("evaluations a frame, one edit", report["evaluations_per_frame"]),
        ("peak memory, GB", None if report["peak_bytes"] is None else report["peak_bytes"] / 1e9),
    ]


def random_unet(dtype: torch.dtype, device: str | torch.device, config: Any) -> UNet:
    """A net of that size that no training has seen, the same each time, every layer of it alive."""
    torch.manual_seed(0)
    net = UNet(config).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return net.to(dtype).to(device)


def _report(
    plain: float, plain_operations: float, timings: Mapping[str, Timing], size: int, steps: int, peak_bytes: int | None
) -> dict[str, Any]:
    evaluations = evaluations_per_frame(steps)
    return {
        "image_size": size,
        "steps": steps,
        "evaluations_per_frame": evaluations,
        "seconds": {PLAIN: plain, **{name: timing.seconds for name, timing in timings.items()}},
        "unet_ratio": {name: plain / timing.seconds for name, timing in timings.items()},
        "eps_error": {name: timing.eps_error for name, timing in timings.items()},
        "frames_per_minute": {name: 60 / (evaluations * timing.seconds) for name, timing in timings.items()},
        "gflops": {PLAIN: plain_operations / plain / 1e9, **{name: timing.gflops for name, timing in timings.items()}},
        "matmul_gflops": {name: timing.matmul_gflops for name, timing in timings.items()},
        "peak_bytes": peak_bytes,
        "how": HOW,
    }


def _inputs(net: UNet, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures [B,3,S,S], their step [1] and faces [B,C], on the net's device."""
    device, numbers = next(net.parameters()).device, torch.Generator().manual_seed(0)
    size = net.config.image_size
    x = torch.randn(frames, net.config.in_channels, size, size, generator=numbers)
    face = torch.randn(frames, net.config.cond_channels, generator=numbers)
    return x.to(device), torch.full((1,), STEP, device=device), face.to(device)


def _product(dtype: torch.dtype, device: torch.device) -> Callable[[], Tensor]:
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    matrix @ matrix
    return lambda: matrix @ matrix


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _operations(evaluate: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        evaluate()
    return counter.get_total_flops()


def _peak_bytes(device: torch.device, evaluate: Callable[[], Any]) -> int | None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        evaluate()
        return torch.cuda.max_memory_allocated(device)
    memory = Path("/proc/self")
    if not memory.exists():
        return None
    with suppress(OSError):  # where that is forbidden, the peak since the process began
        (memory / "clear_refs").write_text("5")
    evaluate()
    lines = (memory / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
