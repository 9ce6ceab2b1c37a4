"""The one training loop of all small nets: AdamW, one cycle of the learning rate, one random batch a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import Cancelled
from ..progress import Cancel, Progress, never, silent
from .data import random_batches

Log = Callable[[str, float, int], None]
"""log(name, value, step)"""
_LOG_EVERY = 20


@dataclass(frozen=True)
class Fitting:
    """How long and how fast: `steps` batches of `batch_size`; the rate rises to `rate` and falls to nothing."""

    steps: int
    batch_size: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.02
    seed: int = 0


def no_log(name: str, value: float, step: int) -> None:
    """The default log."""


@dataclass(frozen=True)
class Watch:
    """Who looks on: progress(stage, done, total), cancelled() -> bool, log(name, value, step)."""

    progress: Progress = silent
    cancelled: Cancel = never
    log: Log = no_log


def fit(
    modules: nn.Module,
    loss_of: Callable[[np.ndarray, torch.Generator], dict[str, Tensor]],
    count: int,
    fitting: Fitting,
    stage: str,
    watch: Watch = Watch(),
) -> None:
    """Trains `modules` in place and leaves them in evaluation mode.

    `loss_of(rows, generator)` gives the named losses of a batch of rows out of `count`; their sum is minimised.
    The generator lives on the modules' device. Raises Cancelled once `watch.cancelled()` is true.
    """
    modules.train()
    device = next(modules.parameters()).device
    generator = torch.Generator(device).manual_seed(fitting.seed)
    optimizer = torch.optim.AdamW(
        modules.parameters(), lr=fitting.rate, betas=(0.9, 0.99), weight_decay=fitting.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, fitting.rate, total_steps=fitting.steps + 1, pct_start=0.2, cycle_momentum=False
    )
    batches = random_batches(count, min(fitting.batch_size, count), fitting.steps, fitting.seed)
    for step, rows in enumerate(batches, start=1):
        if watch.cancelled():
            raise Cancelled(stage)
        losses = loss_of(rows, generator)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        watch.progress(stage, step, fitting.steps)
        if step % _LOG_EVERY == 0 or step == fitting.steps:
            for name, loss in losses.items():
                watch.log(f"{stage}/{name}", float(loss.detach()), step)
    modules.eval()


def tensorboard_log(folder: str | Path) -> Log:
    """A log that writes TensorBoard files to `folder`, or does nothing where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return no_log
    return SummaryWriter(str(folder)).add_scalar
