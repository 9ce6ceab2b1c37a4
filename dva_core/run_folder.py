"""What an interrupted run leaves for the next: a folder beside its target, with each finished stage in a file.

The folder belongs to one request (`request.edit_request`), which its request.json holds; another request cannot go on
with it. A stage counts when its file is whole, which a checksum tells, so that a power cut costs no more than a stage.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from . import tensorfile
from .errors import Cancelled, DvaError, first_line
from .files import alone, whole_or_nothing

_REQUEST, _ENDING = "request.json", ".safetensors"


@dataclass(frozen=True)
class RunFolder:
    """Keeps the stages of one run, by name; `path` may also hold files that are still being made."""

    path: Path
    target: Path

    def keep(self, stage: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """JSON-able fields and tensors of a finished stage, on the disk when this returns; DvaError when it is full."""
        file = self._file(stage)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            tensorfile.write(file, _kind(stage), {"fields": dict(fields), "crc32": _checksum(tensors)}, tensors)
            _settle(file)
        except (OSError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
            raise DvaError(f"{self.target} cannot be finished, as {file} cannot be written ({reason}).") from error

    def kept(self, stage: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """What `keep` got for this stage; None when it has not been kept, or its file is damaged."""
        try:
            header, tensors = tensorfile.read(self._file(stage), _kind(stage))
        except DvaError:
            return None
        fields = header.get("fields")
        whole = isinstance(fields, dict) and header.get("crc32") == _checksum(tensors)
        # Copies lie in memory as PyTorch puts it. What comes from a file may lie anywhere in it, and the last bits of a
        # matrix product depend on that.
        return (fields, {name: tensor.clone() for name, tensor in tensors.items()}) if whole else None

    @property
    def stages(self) -> list[str]:
        """The names of all stages that have a file, whole or damaged, sorted."""
        return sorted(file.stem for file in self.path.glob(f"[!.]*{_ENDING}"))

    def _file(self, stage: str) -> Path:
        return self.path / f"{stage}{_ENDING}"


def folder_beside(target: str | Path) -> Path:
    """Where the unfinished run of a target lies: "talk.mp4.unfinished" for "talk.mp4"."""
    target = Path(target)
    return target.with_name(f"{target.name}.unfinished")


@contextmanager
def run_folder(target: str | Path, request: Mapping[str, Any], overwrite: bool = False) -> Iterator[RunFolder]:
    """The folder of this run, empty or with what an interrupted run of the same request has kept.

    request: JSON-able; two that differ anywhere are not the same. With `overwrite`, what another request left goes. A
    block that ends well removes the folder. If it raises DvaError, Cancelled or KeyboardInterrupt, their message comes
    to say what is kept; with nothing kept the folder goes. Raises DvaError when the folder belongs to another request,
    is not of a run, or another program is at work on the same target.
    """
    target = Path(target)
    run = RunFolder(folder_beside(target), target)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(target))
        except BlockingIOError as error:
            raise DvaError(
                f"Another program is making {target} at this moment; wait until it is done, or give another name."
            ) from error
        _open(run, json.loads(json.dumps(request)), overwrite)
        try:
            yield run
        except (DvaError, Cancelled, KeyboardInterrupt) as error:
            if run.stages:
                raise type(error)(_what_is_kept(error, run)) from error
            raise
        else:
            _remove(run)
        finally:
            if not run.stages:
                _remove(run)


def _open(run: RunFolder, request: dict[str, Any], overwrite: bool) -> None:
    """Makes the folder if it is not there, and leaves no more in it than finished stages of this request."""
    if not run.path.is_dir() or all(entry.name.startswith(".") for entry in run.path.iterdir()):
        run.path.mkdir(parents=True, exist_ok=True)
    elif not (run.path / _REQUEST).is_file():
        raise DvaError(f"{run.path} is in the way and not of an unfinished run; rename it, or give another output.")
    else:
        before = _read(run.path / _REQUEST)
        if before != request:
            if not overwrite:
                raise DvaError(_another_request(run, before, request))
            _remove(run)
            run.path.mkdir()
    for left in run.path.glob(".*"):  # of a run that was killed while it wrote
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    with whole_or_nothing(run.path / _REQUEST) as unfinished:
        unfinished.write_text(json.dumps(request, indent=2))


def _read(file: Path) -> dict[str, Any]:
    """The request of a run; empty when the file is damaged."""
    try:
        request = json.loads(file.read_text())
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def _another_request(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> str:
    differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return (
        f"{run.path} holds an unfinished run of another request ({', '.join(differ)}); ask for the same again to go on "
        "with it, or give --overwrite (overwrite=True) to drop it, or another output."
    )


def _what_is_kept(error: BaseException, run: RunFolder) -> str:
    said = str(error).strip()
    return f"{said} What is done is kept in {run.path}; ask for the same again to go on.".strip()


def _remove(run: RunFolder) -> None:
    """The folder and what is in it; the request last, so that what is left of a removal is a run as before."""
    if not run.path.is_dir():
        return
    for entry in run.path.iterdir():
        if entry.name != _REQUEST:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (run.path / _REQUEST).unlink(missing_ok=True)
    run.path.rmdir()


def _kind(stage: str) -> str:
    return f"the stage {stage} of an unfinished run"


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy(), checksum)
    return checksum


def _settle(file: Path) -> None:
    """Waits until a file that was just renamed, and its name, are on the disk."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
    if os.name != "nt":  # where folders cannot be opened
        folder = os.open(file.parent, os.O_RDONLY)
        with suppress(OSError):  # some file systems settle no folders
            os.fsync(folder)
        os.close(folder)
