"""What is inside a PyTorch checkpoint, read without running anything that is in it.

A checkpoint is a pickle, and a pickle may call any function. PyTorch's restricted unpickler calls none but its own; it
also refuses the harmless classes that training frameworks leave in their checkpoints (callbacks, settings). Those are
known here by name and replaced by objects that do nothing; a file that names anything else is refused.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DvaError

# Packages whose classes may be named in a checkpoint. None is imported: objects that do nothing stand for theirs.
HARMLESS_PACKAGES = (
    "pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "torchmetrics", "omegaconf",
    "argparse", "pathlib", "enum", "datetime", "fractions", "numpy",
    # The modules of the published code and of the one it grew from (Preechakul et al. 2022, Diffusion Autoencoders).
    "choices", "config", "config_base", "dataset", "diffusion", "experiment", "experiment_classifier", "metrics",
    "model", "models", "renderer", "templates", "templates_cls",
)  # fmt: skip
HARMLESS_NAMES = (
    "builtins.set", "builtins.frozenset", "builtins.complex", "builtins.slice", "builtins.range", "builtins.bytearray",
    "builtins.object", "copyreg._reconstructor", "_codecs.encode", "collections.deque", "collections.defaultdict",
)  # fmt: skip
# Of the packages above, what could load a library or a pickle, or run code.
_FORBIDDEN_PARTS = ("ctypeslib", "f2py", "distutils", "testing", "load", "loads", "fromfile", "exec", "eval", "system")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors under "state_dict" of a checkpoint, or of a file that is nothing but a state dict.

    They stay in the file, mapped into memory, until they are touched. Nothing of the file is run. Raises DvaError when
    it cannot be read, is no checkpoint, holds no tensors, or names functions that have no place in one.
    """
    path = Path(path)
    _check_container(path)
    names = _foreign_names(path)
    refused = [name for name in names if not _harmless(name)]
    if refused:
        raise DvaError(
            f"{path} names {', '.join(refused)}, which a checkpoint does not need and which could do harm; nothing of "
            "it was run. Fetch the file again from where it was published."
        )
    try:
        stand_ins = [(_InertObject if name.startswith("numpy.") else _InertDict, name) for name in names]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # damage can show itself anywhere in a pickle
        raise DvaError(f"{path} is damaged ({_first_line(error)}); fetch it again.") from error
    return _tensors(path, content)


def _check_container(path: Path) -> None:
    if path.is_dir():
        raise DvaError(f"{path} is a folder; give the checkpoint file in it.")
    if not path.is_file():
        raise DvaError(f"There is no checkpoint {path}; `dva models` says where it comes from.")
    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip()
    except OSError as error:
        raise DvaError(f"{path} cannot be read ({error.strerror or error}).") from error
    if not start:
        raise DvaError(f"{path} is empty; fetch it again.")
    if start[:1] == b"<":
        raise DvaError(f"{path} is a web page, not a checkpoint: the download was refused. Fetch it again.")
    if start[8:9] == b"{":
        raise DvaError(f"{path} is a safetensors file, not a PyTorch checkpoint; a bundle needs no conversion.")
    if start[:2] == b"\x80\x02" or not start.startswith(b"PK"):
        raise DvaError(
            f"{path} is not a checkpoint of PyTorch 1.6 or newer (those are zip archives); fetch the published file."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise DvaError(f"{path} is cut off or damaged ({_first_line(error)}); fetch it again.") from error
    if any("/code/" in name for name in names):
        raise DvaError(f"{path} is a TorchScript program, not a checkpoint; give the published checkpoint.")
    if not any(name.endswith("/data.pkl") for name in names):
        raise DvaError(f"{path} is a zip archive without a checkpoint in it; unpack it and give the file inside.")


def _foreign_names(path: Path) -> list[str]:
    """The classes and functions that a checkpoint names and PyTorch does not know as harmless."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception as error:
        raise DvaError(f"{path} is damaged ({_first_line(error)}); fetch it again.") from error


def _harmless(name: str) -> bool:
    parts = name.split(".")
    return name in HARMLESS_NAMES or (parts[0] in HARMLESS_PACKAGES and not set(parts) & set(_FORBIDDEN_PARTS))


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise DvaError(f"{path} holds no weights (no tensors under \"state_dict\"); give the published checkpoint.")
    return tensors


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class _InertDict:
    """Stands for a class that is not wanted: calling it, or making one of it, gives a dict that takes what is put in.

    Frameworks' settings are dicts of their own kind, and PyTorch fills none but those it knows.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> OrderedDict:
        return OrderedDict()


class _InertObject:
    """The same for NumPy's classes, whose state is no dict."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass
