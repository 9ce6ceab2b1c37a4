"""Work in batches that shrink when the device has too little memory for them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .errors import DvaError


def in_batches(work: Callable[[slice], None], count: int, batch_size: int) -> None:
    """Calls work(rows) for all `count` rows, `batch_size` at a time, and half as many whenever memory runs out.

    The rows that failed are tried again with the smaller batch; what is done stays done. Raises DvaError when even a
    single row does not fit.
    """
    start = 0
    while start < count:
        try:
            work(slice(start, min(start + batch_size, count)))
        except torch.OutOfMemoryError as error:
            if batch_size == 1:
                raise DvaError(
                    "Even one frame at a time does not fit into the memory of the device; close other programs, use "
                    "half precision, or compute on the CPU."
                ) from error
            batch_size = max(1, batch_size // 2)
            continue
        start += batch_size
