"""Checkpoints of the published layout, made of numbers by chance: the real thing cannot be shipped."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .golden import load_json

EMA = "ema_model."
STAGES, ALIASES = "encoder.lndnet.backbone.base_net.0.", "encoder.lndnet.backbone.pretrain_net.features."
TRAINED = ("time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out.", "encoder.linear.")


def ema_weights(tiny: bool = False) -> dict[str, Tensor]:
    """All 1986 EMA weights by their names without prefix, aliases sharing memory with what they stand for.

    `tiny`: every tensor repeats one number, so that a file of them is small.
    """
    shapes = {name.removeprefix(EMA): about for name, about in load_json("keys.json").items()}
    torch.manual_seed(0)
    weights = {n: _numbers(n, **about, tiny=tiny) for n, about in shapes.items() if not n.startswith(ALIASES)}
    return {n: weights[n.replace(ALIASES, STAGES)] for n in shapes}


def classifier_weights() -> dict[str, Tensor]:
    """The six tensors of the published classifier's state dict."""
    shapes = {name: about["shape"] for name, about in load_json("cls_keys.json").items()}
    torch.manual_seed(1)
    numbers = {name: torch.randn(shape) for name, shape in shapes.items()}
    return numbers | {"conds_std": torch.rand(shapes["conds_std"]) + 0.5}


def save_checkpoint(path: Path, ema: dict[str, Tensor], whole: bool = False, **more: Any) -> Path:
    """A Lightning checkpoint with these EMA weights; `whole` adds the raw weights and Adam's moments, 3.5 GB in all."""
    state = {EMA + name: tensor for name, tensor in ema.items()}
    moments: dict[int, Any] = {}
    if whole:
        trained = [tensor for name, tensor in ema.items() if name.startswith(TRAINED)]
        moments = {i: {"step": 1, "exp_avg": t.clone(), "exp_avg_sq": t.clone()} for i, t in enumerate(trained)}
        state |= {"model." + name: tensor.clone() for name, tensor in ema.items()}
    with foreign_objects() as (callback, settings, mode):
        content = {
            "epoch": 51,
            "global_step": 1_000_000,
            "pytorch-lightning_version": "1.6.1",
            "state_dict": state,
            "callbacks": {"ModelCheckpoint": callback},
            "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-4}]}],
            "lr_schedulers": [],
            "loops": {"mode": mode},
            "hyper_parameters": settings,
        }
        torch.save(content | more, path)
    return path


@contextmanager
def foreign_objects() -> Iterator[tuple[Any, Any, Any]]:
    """A callback, settings that are a dict of their own kind, and an enum, of packages that are not installed."""

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best_model_path, self.best_k_models = "last.ckpt", {"last.ckpt": torch.tensor(0.5)}

    class AttributeDict(dict):
        pass

    class TrainMode(Enum):
        DIFFUSION = "diffusion"

    homes = {
        "pytorch_lightning.callbacks": ModelCheckpoint,
        "pytorch_lightning.utilities.parsing": AttributeDict,
        "choices": TrainMode,
    }
    names = {".".join(home.split(".")[: n + 1]) for home in homes for n in range(home.count(".") + 1)}
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules.update(modules)
    for home, kind in homes.items():
        kind.__module__, kind.__qualname__ = home, kind.__name__
        setattr(modules[home], kind.__name__, kind)
    try:
        yield ModelCheckpoint(), AttributeDict(base_dir=Path("checkpoints"), img_size=256), TrainMode.DIFFUSION
    finally:
        for name in modules:
            del sys.modules[name]


def _numbers(name: str, shape: list[int], dtype: str, tiny: bool) -> Tensor:
    if dtype == "int64":
        return torch.ones(shape, dtype=torch.int64)
    numbers = torch.full((1,), 0.01).expand(shape) if tiny else torch.randn(shape) * 0.02
    return numbers.abs() + 1 if name.endswith("running_var") else numbers
