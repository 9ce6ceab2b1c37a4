"""TensorBoard logs of a training."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


class Log:
    """Writes numbers and pictures for TensorBoard; does nothing on any but the main process."""

    def __init__(self, folder: Path, main: bool = True) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder)) if main else None

    def numbers(self, step: int, **values: float | Tensor) -> None:
        """One scalar per name."""
        for name, value in values.items() if self.writer else ():
            self.writer.add_scalar(name, float(value), step)

    def pictures(self, step: int, grid: Tensor) -> None:
        """One picture [3,H,W] in 0..1."""
        if self.writer:
            self.writer.add_image("samples", grid, step)
            self.writer.flush()
