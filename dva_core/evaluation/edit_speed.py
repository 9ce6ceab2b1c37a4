"""What a whole edit of a full-size clip costs, against the published recipe on the same machine.

Nobody waits hours for this: a few evaluations of each are timed, and the rest is counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder, ModelConfig
from ..diffusion import DEFAULT_SOLVER, DEFAULT_STEPS, ddim
from ..faces.alignment import crop_faces
from ..footage import find_face, frames_with_track
from ..pipeline import encode_clip, reconstruct_clip
from ..progress import Progress, Watch, silent
from ..showcase import DEMO_CLIP
from ..unet import UNetConfig
from .speed import PRECISIONS, evaluations_per_frame, measure_speed, random_unet

FRAMES = 8
PUBLISHED_STEPS = 100
PUBLISHED_EVALUATIONS = 99 + 100 + 100
# Of the full-size net, so many steps and frames are walked for the reconstruction and the solver's own time.
FEW_STEPS, FEW_FRAMES = 2, 1

HOW = {
    "edit_ratio": f"time of the published recipe for {FRAMES} crops of 256 px over that of this package. EXTRAPOLATED: "
    f"published is {PUBLISHED_EVALUATIONS} evaluations a frame (T={PUBLISHED_STEPS}: invert 99, reconstruct 100, edit"
    " 100) times the plain net's seconds; ours is evaluations_per_frame times seconds_in_pipeline",
    "seconds_in_pipeline": f"an evaluation as the pipeline has it, solver and encoders included: encode_clip and one "
    f"decode of {FEW_FRAMES} frame, {FEW_STEPS} steps, full-size net in the best precision, divided by the evaluations",
    "precision": "the fastest of those measured",
    "published_seconds": "extrapolated as said at edit_ratio",
    "seconds_of_edit": "extrapolated as said at edit_ratio",
    "reconstruction_mse": "mean squared error in -1..1 of decoding with the unedited identity, every step walked: "
    f"{DEFAULT_SOLVER}, T={DEFAULT_STEPS}, demo model in that precision, {FRAMES} crops of the demo clip",
    "reconstruction_mse_full_size": f"the same for the full-size net with random weights, T={FEW_STEPS}, "
    f"{FEW_FRAMES} frame of noise",
    "reconstruction_mse_published": f"the published recipe on the same {FRAMES} crops: DDIM as published, "
    f"T={PUBLISHED_STEPS}, demo model in float32",
    "steps": "diffusion steps of the edit each way",
    "weights": "full-size net: random; time does not depend on them",
}


def measure_edit(
    demo: Mapping[str, DiffusionVideoAutoencoder], crops: Tensor,
    precisions: Sequence[str] = ("bfloat16", "float32"), *, device: str = "cpu", config: UNetConfig | None = None,
    repeats: int = 3, progress: Progress = silent,
) -> dict[str, Any]:  # fmt: skip
    """The JSON-able report: ratios of the net and of a whole edit, the reconstruction's errors, and how each was made.

    demo: the demo model in each precision and in float32. crops: what it reconstructs, [T,3,S,S] in -1..1
    (`demo_crops`). config: the size of the large net, the published one when left out.
    """
    config = config or UNetConfig()
    speed = measure_speed(
        lambda dtype: random_unet(dtype, device, config), precisions, repeats=repeats, progress=progress
    )
    best = max(precisions, key=lambda name: speed["unet_ratio"][name])
    large = _large_model(config, demo[best].config, PRECISIONS[best], device)
    watch = Watch("measure edit", 3, progress)
    seconds, error_of_large = _walked(large, _noise_pictures(FEW_FRAMES, config.image_size), FEW_STEPS)
    watch.tick()
    _, error = _walked(demo[best], crops, DEFAULT_STEPS)
    watch.tick()
    published_error = _published_error(demo["float32"], crops)
    watch.tick()

    evaluations = evaluations_per_frame(DEFAULT_STEPS)
    in_pipeline = seconds / (FEW_FRAMES * evaluations_per_frame(FEW_STEPS))
    ours, published = FRAMES * evaluations * in_pipeline, FRAMES * PUBLISHED_EVALUATIONS * speed["seconds"]["plain"]
    return speed | {
        "weights": "random",
        "frames": FRAMES,
        "solver": DEFAULT_SOLVER,
        "precision": best,
        "seconds_in_pipeline": in_pipeline,
        "seconds_of_edit": ours,
        "published_seconds": published,
        "edit_ratio": published / ours,
        "reconstruction_mse": error,
        "reconstruction_mse_full_size": error_of_large,
        "reconstruction_mse_published": published_error,
        "how": speed["how"] | HOW,
    }


def demo_crops(model: DiffusionVideoAutoencoder) -> Tensor:
    """The first faces of the shipped clip, [8,3,S,S] in -1..1."""
    track = find_face(model, DEMO_CLIP)
    frames, part = next(frames_with_track(DEMO_CLIP, track))
    return crop_faces(frames[part.valid], part.quads[part.valid], model.config.image_size)[:FRAMES]


def edit_rows(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What `speed_rows` does not show, for `evaluation.report.table`."""
    return [
        ("times as fast as published, edit (extrapolated)", report["edit_ratio"]),
        ("minutes for the edit (extrapolated)", report["seconds_of_edit"] / 60),
        ("minutes as published (extrapolated)", report["published_seconds"] / 60),
        ("reconstruction MSE", report["reconstruction_mse"]),
        ("reconstruction MSE, full-size net, few steps", report["reconstruction_mse_full_size"]),
        ("reconstruction MSE as published", report["reconstruction_mse_published"]),
    ]


def _walked(model: DiffusionVideoAutoencoder, crops: Tensor, steps: int) -> tuple[float, float]:
    """Seconds to encode crops and to decode them unedited, and the mean squared error of that."""
    start = time.perf_counter()
    decoded = reconstruct_clip(model, encode_clip(model, crops, steps))
    return time.perf_counter() - start, float((decoded - crops).square().mean())


def _published_error(model: DiffusionVideoAutoencoder, crops: Tensor) -> float:
    z_face = model.face_latent(model.encode_identity(crops).mean(), model.encode_landmarks(crops))
    eps, x = model.eps(z_face), crops.to(model.device)
    x_T = ddim.invert(eps, x, PUBLISHED_STEPS, faithful=True)
    return float((ddim.decode(eps, x_T, PUBLISHED_STEPS, faithful=True) - x).square().mean())


def _large_model(
    config: UNetConfig, encoders: ModelConfig, dtype: torch.dtype, device: str
) -> DiffusionVideoAutoencoder:
    """A model of full size with random weights, and encoders of the demo's kinds."""
    torch.manual_seed(0)
    model = DiffusionVideoAutoencoder(
        ModelConfig("random", config, encoders.identity, encoders.landmarks, encoders.parser, None)
    )
    model.unet = random_unet(dtype, device, config)
    return model.to(device).eval().requires_grad_(False)


def _noise_pictures(frames: int, size: int) -> Tensor:
    """Smooth random pictures [T,3,S,S] in -1..1."""
    coarse = torch.rand(frames, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").clamp(-1, 1)
