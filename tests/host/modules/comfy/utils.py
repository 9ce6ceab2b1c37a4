"""Stand-in for ComfyUI's helpers: the progress bar, and loading of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open


@dataclass(frozen=True)
class Update:
    """One step of a progress bar."""

    value: float
    total: float
    preview: tuple | None


updates: list[Update] = []
"""Every step of every bar. The host drops steps that follow too fast on each other; here none is lost."""


class ProgressBar:
    """Only records. The host's bar looks now and then whether to cancel; a node must not count on that."""

    def __init__(self, total: float, node_id: str | None = None):
        self.total = total
        self.current: float = 0
        self.node_id = node_id

    def update_absolute(self, value: float, total: float | None = None, preview: tuple | None = None) -> None:
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        updates.append(Update(self.current, self.total, preview))

    def update(self, value: float) -> None:
        self.update_absolute(self.current + value)


def load_torch_file(ckpt: str, safe_load: bool = False, device=None, return_metadata: bool = False) -> Any:
    """The tensors of a .safetensors file; nothing else is read."""
    with safe_open(ckpt, framework="pt", device=str(device or torch.device("cpu"))) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return (tensors, file.metadata()) if return_metadata else tensors
