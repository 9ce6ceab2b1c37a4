"""Weights and pictures by formula: any implementation can make the same ones (facts in tests/data/golden/README.md)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def fill(net: nn.Module, salt: int = 0) -> None:
    """Gives each weight of `net` its number: by the position of its name among the sorted names, and its index."""
    state = net.state_dict()
    names = sorted(name for name in state if not name.endswith("num_batches_tracked"))
    for k, name in enumerate(names):
        u = uniform(k, state[name].numel(), salt).reshape(state[name].shape)
        state[name].copy_(torch.from_numpy(_scaled(u, name, names)))


def uniform(k: int, count: int, salt: int = 0) -> np.ndarray:
    """The numbers u_0, u_1, ... in -1..1 of the k-th weight, float64 [count]."""
    start = (k * 2246822519 + salt * 668265263 + 374761393) % 2**32
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(start)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
        h = h ^ (h >> np.uint32(16))
    return (h.astype(np.float64) + 0.5) / 2**31 - 1


def picture(count: int, size: int, phase: float = 0.0) -> Tensor:
    """Waves in -1..1: float32 [count,3,size,size]."""
    n, c, i, j = np.ogrid[:count, :3, :size, :size]
    waves = 0.6 * np.sin(0.05 * i + 0.9 * c + n + phase) + 0.4 * np.cos(0.03 * j * (c + 1) + phase)
    return torch.from_numpy(waves).float()


def _scaled(u: np.ndarray, name: str, names: list[str]) -> np.ndarray:
    module, _, kind = name.rpartition(".")
    if kind == "running_mean" or kind == "bias":
        return 0.1 * u
    if kind == "running_var":
        return 1 + 0.2 * u
    if u.ndim == 1:
        return 1 + 0.2 * u if f"{module}.running_mean" in names else 0.25 + 0.1 * u
    return u * np.sqrt(3 / (u.size / len(u)))
