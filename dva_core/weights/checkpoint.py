"""The weights in a file of PyTorch or safetensors, read without running anything that is in it.

A file of PyTorch is a pickle, and a pickle may call any function. PyTorch's restricted unpickler calls none but its
own; it also refuses the harmless classes that training frameworks leave in their checkpoints (callbacks, settings).
Those are known here by name and replaced by objects that do nothing; a file that names anything else is refused.
"""

from __future__ import annotations

import os
import pickle
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DvaError, first_line

Container = Literal["zip", "torchscript", "pickle", "safetensors"]

# Packages whose names may stand in a checkpoint. None is imported: objects that do nothing take the place of whatever
# is named, so the list is no protection. It tells an ordinary checkpoint from one that was tampered with.
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

_OLD_START = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)  # of every file before PyTorch 1.6
_LONGEST_PICKLE = 64_000_000  # bytes; those of large models have one or two million
_LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit
_globals_lock = threading.Lock()


def container(path: str | Path) -> Container:
    """How a file of weights is made, by what it holds: "pickle" is the form before PyTorch 1.6.

    Raises DvaError when it is missing, cannot be read, is none of these, or unpacks to more than it is.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise DvaError(f"{path} is a folder; give the checkpoint file in it.")
    if not os.path.isfile(path):  # unlike Path.is_file, which fails where no file can have such a name
        raise DvaError(f"There is no file {path}; `dva models` lists the weight files and where they come from.")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DvaError(f"{path} cannot be read ({error.strerror or error}).") from error
    if not start:
        raise DvaError(f"{path} is empty; fetch it again.")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER:
        return "safetensors"
    if start.startswith(b"PK"):
        return _zipped_container(path)
    if start.startswith(_OLD_START):
        return "pickle"
    if start.lstrip().startswith(b"<"):
        raise DvaError(f"{path} is a web page, not a weight file, because the download was refused; fetch it again.")
    raise DvaError(f"{path} holds no weights: it is neither a checkpoint of PyTorch nor safetensors; fetch it again.")


def read_state_dict(path: str | Path, strip: str = "") -> dict[str, Tensor]:
    """The tensors under "state_dict" of a checkpoint, or of a file that is nothing but a state dict.

    They are dense, real and on the CPU, and stay in the file, mapped into memory, until they are touched (not those of
    a file before PyTorch 1.6). Nothing of the file is run. `strip` is taken off the names if all begin with it, such as
    the "module." of a training on several GPUs. Raises DvaError when the file cannot be read, holds no such tensors, or
    names functions that have no place in it.
    """
    path = Path(path)
    kind = container(path)
    if kind == "torchscript":
        raise DvaError(f"{path} is a TorchScript program, not a checkpoint; give the file as it was published.")
    read = {"zip": _read_zip, "pickle": _read_pickle, "safetensors": load_file}[kind]
    try:
        content = read(path)
    except DvaError:
        raise
    except pickle.UnpicklingError as error:
        raise DvaError(
            f"{path} is damaged or asks for more than weights, which could do harm; nothing of it was run, so fetch "
            "it again from where it was published."
        ) from error
    except Exception as error:  # damage can show itself anywhere in a pickle
        raise DvaError(f"{path} is damaged ({first_line(error)}); fetch it again.") from error
    tensors = _tensors(path, content)
    whole = all(name.startswith(strip) for name in tensors)
    return {name.removeprefix(strip) if whole else name: tensor for name, tensor in tensors.items()}


def _zipped_container(path: Path) -> Container:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # as for a pickle: damage can show itself anywhere
        raise DvaError(f"{path} is cut off or damaged ({first_line(error)}); fetch it again.") from error
    pickles = [entry.file_size for entry in entries if entry.filename.endswith("/data.pkl")]
    if not pickles:
        raise DvaError(f"{path} is a zip archive without a checkpoint in it; unpack it and give the file inside.")
    # PyTorch stores all but a program's code as it is, so a few bytes that unpack to gigabytes are not its work.
    unpacked = sum(entry.file_size for entry in entries if "/code/" not in entry.filename)
    if unpacked > path.stat().st_size or max(pickles) > _LONGEST_PICKLE:
        raise DvaError(
            f"{path} is packed as PyTorch packs no checkpoint and could fill the memory; nothing of it was read, so "
            "fetch it again from where it was published."
        )
    is_program = any(entry.filename.endswith("/constants.pkl") for entry in entries)
    return "torchscript" if is_program else "zip"


def _read_zip(path: Path) -> Any:
    with _nothing_allowed():
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        refused = [name for name in names if not _harmless(name)]
        if refused:
            raise DvaError(
                f"{path} names {', '.join(refused):.300}, which a checkpoint does not need and which could do harm; "
                "nothing of it was run, so fetch the file again from where it was published."
            )
        stand_ins = [(_InertObject if name.startswith("numpy.") else _InertDict, name) for name in names]
        torch.serialization.add_safe_globals(stand_ins)
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)


def _read_pickle(path: Path) -> Any:
    with _nothing_allowed():
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def _nothing_allowed() -> Iterator[None]:
    """PyTorch's list of classes that pickles may name is empty in this block.

    The list is one for the whole process, and other code puts its own there (ComfyUI does). What a file may name would
    depend on that, and stand-ins and real classes of one package would meet.
    """
    with _globals_lock:
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        try:
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)


def _harmless(name: str) -> bool:
    return name in HARMLESS_NAMES or name.partition(".")[0] in HARMLESS_PACKAGES


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise DvaError(f'{path} holds no weights (no tensors under "state_dict"); give the file as it was published.')
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not name.isprintable():
            raise DvaError(f"{path} calls a tensor {name!r:.80}, which no net does; give the file as it was published.")
        if not _plain(tensor):
            raise DvaError(
                f"{path} holds {name:.200} in another form than dense real numbers; give the file as it was published."
            )
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _plain(tensor: Tensor) -> bool:
    """Whether it is what weights are: its numbers in memory, each once. Pickles can hold many other kinds."""
    dense = tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    real = not (tensor.is_quantized or tensor.is_complex() or tensor.is_neg())
    return type(tensor) in (Tensor, nn.Parameter) and dense and real


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
