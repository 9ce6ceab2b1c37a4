"""The weights of a TorchScript program, read without running it: torch.jit.load compiles, and may run parts."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import DvaError, first_line


def torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a program by name, under the names of its modules joined with dots.

    `path` is one that `weights.checkpoint.container` calls "torchscript". Raises DvaError when it is damaged, or names
    anything but modules and tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = [entry for entry in archive.namelist() if entry.endswith("/data.pkl")]
            with archive.open(pickled) as file:
                return _tensors_within(_TensorsOnly(file, archive, pickled.removesuffix(".pkl")).load())
    except pickle.UnpicklingError as error:
        raise DvaError(
            f"{path} is damaged or asks for more than weights, which could do harm; nothing of it was run, so fetch "
            "it again from where it was published."
        ) from error
    except Exception as error:  # damage can show itself anywhere in a pickle
        raise DvaError(f"{path} is damaged ({first_line(error)}); fetch it again.") from error


class _TorchScriptModule:
    """Stands for every module of a program: only its attributes are of interest."""


def _tensors_within(module: _TorchScriptModule, prefix: str = "") -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            found[prefix + name] = value
        elif isinstance(value, _TorchScriptModule):
            found |= _tensors_within(value, f"{prefix}{name}.")
    return found


class _TensorsOnly(pickle.Unpickler):
    """Reads modules and tensors, and refuses to name anything else, so that nothing else can be called."""

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, data: str) -> None:
        super().__init__(file)
        self._archive, self._data = archive, data
        self._storages: dict[str, bytearray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _TorchScriptModule
        if module == "torch.jit._pickle":  # lists of one type, which come wrapped
            return lambda value, *_: value
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, pid: tuple[str, torch.dtype, str, str, int]) -> Tensor:
        _, dtype, key, _, _ = pid
        if key not in self._storages:  # many tensors may lie in one storage
            self._storages[key] = bytearray(self._archive.read(f"{self._data}/{key}"))
        return torch.frombuffer(self._storages[key], dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


_ALLOWED = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "HalfStorage"): torch.float16,
    ("torch", "FloatStorage"): torch.float32,
    ("torch", "IntStorage"): torch.int32,
    ("torch", "LongStorage"): torch.int64,
    ("collections", "OrderedDict"): OrderedDict,
}
