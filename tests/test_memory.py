"""Batches that shrink when memory runs out."""

from __future__ import annotations

import pytest
import torch

from dva_core.errors import DvaError
from dva_core.memory import in_batches


def worker(room: int, done: list[int]):
    """Work that has room for so many rows at once."""

    def work(rows: slice) -> None:
        if rows.stop - rows.start > room:
            raise torch.OutOfMemoryError("too many")
        done.extend(range(rows.start, rows.stop))

    return work


@pytest.mark.parametrize("room", [1, 2, 3, 8, 100])
def test_every_row_is_done_once_however_small_the_memory(room):
    done = []
    in_batches(worker(room, done), 13, 8)
    assert done == list(range(13))


def test_one_row_too_large_is_a_sentence():
    with pytest.raises(DvaError, match="one frame"):
        in_batches(worker(0, []), 3, 8)
