"""Nets in ONNX files, as insightface opens them: on which processor, and what went wrong in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import DvaError
from ..libraries import library

LIBRARY_FOR = "insightface's models"


def providers(device: str | torch.device) -> list[str | tuple[str, dict]]:
    """What onnxruntime is to compute with on a device of PyTorch: the GPU where its build can, else the processor."""
    device = torch.device(device)
    available = library("onnxruntime", LIBRARY_FOR).get_available_providers()
    if device.type == "cuda" and "CUDAExecutionProvider" in available:
        return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever reading nets at `path`, a file or a folder of them, raises into a DvaError."""
    try:
        yield
    except DvaError:
        raise
    except Exception as error:  # what onnx, protobuf, onnxruntime and insightface raise has no base in common
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DvaError(f"{path} cannot be read as an ONNX net ({reason}); get the file again.") from error
