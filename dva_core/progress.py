"""How long stages tell their caller where they are, and hear that they should stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from tqdm import tqdm

from .errors import Cancelled

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str, int, int], None]
"""progress(stage, done, total); total is 0 while it is unknown."""
Cancel = Callable[[], bool]
"""cancelled() -> whether to stop now."""
Preview = Callable[["Tensor"], None]
"""preview(pictures [n,3,S,S] in -1..1), called with results while others are still being made."""


def silent(stage: str, done: int, total: int) -> None:
    """The default progress: says nothing."""


def never() -> bool:
    """The default cancelled: goes on."""
    return False


def unseen(pictures: Tensor) -> None:
    """The default preview: nobody looks."""


class Watch:
    """Counts the work of one stage, tells the caller, and raises `Cancelled` once the caller wants out."""

    def __init__(self, stage: str, total: int, progress: Progress = silent, cancelled: Cancel = never) -> None:
        self.stage, self.total, self.done = stage, total, 0
        self._progress, self._cancelled = progress, cancelled

    def tick(self, amount: int = 1) -> None:
        """Some work is done."""
        self.done += amount
        self._progress(self.stage, self.done, self.total)
        self._stop_if_cancelled()

    def reach(self, done: int) -> None:
        """So much work is done in all; what is not more than before is not told again."""
        if done > self.done:
            self.tick(done - self.done)
        else:
            self._stop_if_cancelled()

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """What was counted inside does not count if something is raised, as it will be tried again."""
        before = self.done
        try:
            yield
        except Exception:
            self.done = before
            raise

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled(f"Stopped during '{self.stage}'.")


@contextmanager
def spent(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the time that the block takes to that of a stage."""
    seconds.setdefault(stage, 0.0)
    start = perf_counter()
    try:
        yield
    finally:
        seconds[stage] += perf_counter() - start


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A progress for terminals: one bar on stderr for each stage."""
    bars: dict[str, tqdm] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars or done < bars[stage].n:
            _close(bars)
            bars[stage] = tqdm(total=total or None, desc=f"{stage:<17}", dynamic_ncols=True)
        bars[stage].update(done - bars[stage].n)

    try:
        yield show
    finally:
        _close(bars)


def _close(bars: dict[str, tqdm]) -> None:
    for bar in bars.values():
        bar.close()
    bars.clear()
