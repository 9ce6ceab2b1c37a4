"""How work uses the machine: batches that shrink when memory runs out, threads that do not wait for each other."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .errors import DvaError


@contextmanager
def one_thread() -> Iterator[None]:
    """For thousands of small tensor operations: on a busy machine threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def give_back() -> None:
    """Returns freed memory to the system, where the C library can (glibc).

    It keeps what is freed in pieces between what is still used; large frames that come and go in several threads then
    take ever more of it.
    """
    if _C_LIBRARY is not None:
        _C_LIBRARY.malloc_trim(0)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on that device; to an NVIDIA GPU by way of pinned memory, so that the program need not wait."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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


def _c_library() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None  # musl has none


_C_LIBRARY = _c_library()
