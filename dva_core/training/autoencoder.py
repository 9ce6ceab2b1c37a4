"""Trains the noise estimator and the linear head on rendered faces, with checkpoints that a later run goes on from.

Kim et al. 2023, Sec. 3.3: Adam on L_simple + L_reg, gradient clipping, an exponential moving average of the weights.
Ours: the head and the eyes count more in L_simple, and middle noise levels come more often (`batches.py`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..unet import UNet, UNetConfig
from .batches import draw_batch
from .conditions import Conditions
from .diagnosis import Diagnosis, diagnose
from .logs import Log
from .objectives import dva_loss
from .rendered import FaceSet

IDENTITY_SCALE = 512**0.5


@dataclass(frozen=True)
class AutoencoderTraining:
    """How to train. The rate stays at its height and falls linearly over the last `decay` share of the steps."""

    steps: int = 9600
    batch_size: int = 8
    learning_rate: float = 6e-4
    decay: float = 0.35
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    checkpoint_seconds: float = 180.0
    diagnose_every: int = 1000


class FaceDenoiser(nn.Module):
    """The trained part: linear head 614 -> 512 over the scaled codes, and the U-Net."""

    def __init__(self, config: UNetConfig, mean_lnd: Tensor, std_lnd: Tensor) -> None:
        super().__init__()
        self.unet = UNet(config)
        self.head = nn.Linear(512 + len(mean_lnd), config.cond_channels)
        self.register_buffer("mean_lnd", mean_lnd.clone())
        self.register_buffer("std_lnd", std_lnd.clone())

    def forward(self, x: Tensor, t: Tensor, codes: Tensor) -> Tensor:
        """x [B,3,S,S], t int64 [B], codes [B,614] (z_id, then z_lnd, unscaled) -> noise [B,3,S,S]."""
        return self.unet(x, t, self.z_face(codes))

    def z_face(self, codes: Tensor) -> Tensor:
        z_id, z_lnd = codes[:, :512], codes[:, 512:]
        return self.head(torch.cat([IDENTITY_SCALE * z_id, (z_lnd - self.mean_lnd) / self.std_lnd], dim=1))


def train_autoencoder(
    config: UNetConfig,
    training: AutoencoderTraining,
    faces: FaceSet,
    conditions: Conditions,
    held_back: tuple[FaceSet, Conditions],
    folder: Path,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    begin: FaceDenoiser | None = None,
) -> tuple[FaceDenoiser, list[dict]]:
    """Trains from the newest checkpoint in `folder`, or else from `begin`, or from nothing.

    Returns the averaged net and the diagnoses.

    Every random number of step k comes from (seed, k), so that an interrupted run repeats nothing and skips nothing.
    """
    accelerator = Accelerator(mixed_precision="bf16" if _has_bfloat16() else "no")
    torch.manual_seed(training.seed)
    net = FaceDenoiser(config, *conditions.landmark_scaling)
    if begin is not None:
        net.load_state_dict(begin.state_dict())
    average = FaceDenoiser(config, *conditions.landmark_scaling).requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=training.learning_rate, betas=(0.9, 0.99), fused=True)
    checkpoint = folder / "autoencoder.safetensors"
    start, history = _load_checkpoint(checkpoint, net, average, optimizer) if checkpoint.exists() else (0, [])
    if start == 0:
        average.load_state_dict(net.state_dict())
    average.to(accelerator.device)
    model, optimizer = accelerator.prepare(net, optimizer)
    log = Log(folder / "logs", main=accelerator.is_main_process)
    weighting = "velocity" if config.output == "v" else "uniform"
    saved = time.monotonic()
    for step in range(start, training.steps):
        seed = [training.seed, step, accelerator.process_index]
        batch = draw_batch(faces, conditions, training.batch_size, seed, accelerator.device)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * _rate(step, training)
        loss = dva_loss(model, batch.x0, batch.t, batch.codes, batch.face_mask, batch.noises, weighting, batch.weight)
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss.total)
        accelerator.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step()
        _update_average(average, accelerator.unwrap_model(model), min(training.ema, (1 + step) / (10 + step)))
        progress("train autoencoder", step + 1, training.steps)
        if step % 20 == 0:
            simple, reg = loss.simple.detach().mean(), loss.reg.detach().mean()
            log.numbers(step, simple=simple, reg=reg, rate=_rate(step, training))
        if not accelerator.is_main_process:
            continue
        done = step + 1
        if done % training.diagnose_every == 0 or done == training.steps:
            result, pictures = diagnose(average, *held_back)
            history.append({"step": done, **vars(result)})
            log.numbers(done, **_gaps(result))
            log.pictures(done, pictures)
        if done == training.steps or time.monotonic() - saved > training.checkpoint_seconds:
            _save_checkpoint(checkpoint, accelerator.unwrap_model(model), average, optimizer, done, history)
            saved = time.monotonic()
    return average.eval(), history


def _rate(step: int, training: AutoencoderTraining) -> float:
    """Share of the learning rate: a short warm-up, a plateau, a linear fall to 5 %."""
    left = (training.steps - step) / (training.decay * training.steps)
    return min(1.0, (step + 1) / 100, 0.05 + 0.95 * left)


@torch.no_grad()
def _update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - decay)


def _gaps(result: Diagnosis) -> dict[str, float]:
    errors = zip(result.t, result.right, result.wrong_identity, strict=True)
    gaps = {f"gap/identity_t{t}": wrong / right for t, right, wrong in errors}
    gaps[f"gap/landmarks_t{result.t[-1]}"] = result.wrong_landmarks[-1] / result.right[-1]
    return gaps | {"x_T_std": result.x_T_std}


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    if not torch.backends.mkldnn.is_available():
        return False
    # without hardware support, emulated bfloat16 is several times slower than float32
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()


def _save_checkpoint(path: Path, net: nn.Module, average: nn.Module, optimizer, step: int, history: list[dict]) -> None:
    """Everything that the next run needs, written beside and moved into place."""
    tensors = {f"net.{k}": v.contiguous() for k, v in net.state_dict().items()}
    tensors |= {f"average.{k}": v.contiguous() for k, v in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, {"step": str(step), "history": json.dumps(history)})
    os.replace(part, path)


def _load_checkpoint(path: Path, net: nn.Module, average: nn.Module, optimizer) -> tuple[int, list[dict]]:
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        note = file.metadata()
    for prefix, target in (("net.", net), ("average.", average)):
        target.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            # the fused Adam pairs numbers by their place in memory, where the weights lie channels last
            value = value if name == "step" else torch.empty_like(parameters[int(index)]).copy_(value)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(note["step"]), json.loads(note["history"])
