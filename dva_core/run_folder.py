"""What an interrupted run leaves for the next: a folder beside its target, with each finished stage in a file.

The folder belongs to one request (`request.edit_request`), which its request.json holds; another request cannot go on
with it. A stage counts when its file is whole, which a checksum tells, so that a power cut costs no more than a stage.
Just before the target gets its name the request notes what it is like, so that whoever comes after a kill can tell the
target of this run, which is done, from another file of that name.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from . import tensorfile, video
from .errors import Cancelled, DvaError, first_line
from .files import alone, check_not_there, whole_or_nothing
from .settling import settle, settle_name

_REQUEST, _ENDING = "request.json", ".safetensors"
_PLACED = "placed"  # beside the request: what the target is like once it is in its place


@dataclass(frozen=True)
class RunFolder:
    """Keeps the stages of one run, by name; `path` may also hold files that are still being made.

    `placed`: an earlier run of the same request has put the target into its place, and some of its stages may be gone.
    """

    path: Path
    target: Path
    placed: bool = False

    def keep(self, stage: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """JSON-able fields and tensors of a finished stage, on the disk when this returns; DvaError when it is full."""
        file = self._file(stage)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            tensorfile.write(file, _kind(stage), {"fields": dict(fields), "crc32": _checksum(tensors)}, tensors)
            settle(file)
            settle_name(file)
        except (OSError, SafetensorError) as error:
            raise DvaError(f"{self.target} cannot be finished, as {file} cannot be written ({_why(error)}).") from error

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

    def place(self, whole: Path) -> None:
        """Notes that this whole file or folder is about to be renamed to the target. Raises OSError."""
        request = _read(self.path / _REQUEST) or {}
        _write(self.path / _REQUEST, {**request, _PLACED: _facts(whole)})

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


def is_placed(target: str | Path) -> bool:
    """Whether what lies at the target was put there by the run whose folder is still beside it."""
    target = Path(target)
    placed = (_read(folder_beside(target) / _REQUEST) or {}).get(_PLACED)
    return placed is not None and placed == _facts(target)


def check_target(target: str | Path, source: str | Path, overwrite: bool) -> None:
    """DvaError when a run towards the target could not write it, or would replace something unasked.

    No matter when a run has put it there that was killed before it could remove its folder: the same request may end
    it.
    """
    with suppress(OSError):  # an empty folder is all that a run leaves which is killed at its very end
        folder_beside(target).rmdir()
    if not is_placed(target):
        video.check_output(target, source)
        check_not_there(target, overwrite)


@contextmanager
def run_folder(target: str | Path, request: Mapping[str, Any], overwrite: bool = False) -> Iterator[RunFolder]:
    """The folder of this run, empty or with what an interrupted run of the same request has kept.

    request: JSON-able; two that differ anywhere are not the same. With `overwrite`, what another request left goes. A
    block that ends well removes the folder. If it raises DvaError, Cancelled or KeyboardInterrupt, their message comes
    to say what is kept, and OSError comes as DvaError; with nothing kept the folder goes. Raises DvaError when the
    folder belongs to another request, is not of a run or cannot be written, the target is there and not to be replaced,
    or another program is at work on it.
    """
    target = Path(target)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(target))
        except BlockingIOError as error:
            raise DvaError(
                f"Another program is making {target} at this moment; wait until it is done, or give another name."
            ) from error
        except OSError as error:
            raise DvaError(f"{target} cannot be written ({_why(error)}).") from error
        run = _opened(RunFolder(folder_beside(target), target), json.loads(json.dumps(request)), overwrite)
        try:
            yield run
        except (DvaError, Cancelled, KeyboardInterrupt) as error:
            if run.stages:
                raise type(error)(_what_is_kept(str(error), run)) from error
            raise
        except OSError as error:
            said = f"{target} cannot be finished ({_why(error)})."
            raise DvaError(_what_is_kept(said, run) if run.stages else said) from error
        else:
            _remove_after(run)
        finally:
            if not run.stages:
                with suppress(OSError):
                    _remove(run)


def _opened(run: RunFolder, request: dict[str, Any], overwrite: bool) -> RunFolder:
    """Makes the folder if it is not there, and leaves no more in it than finished stages of this request."""
    try:
        before = _read(run.path / _REQUEST)
        if before is not None:
            before.pop(_PLACED, None)
        if is_placed(run.target):
            if before == request:
                return replace(run, placed=True)
            _remove(run)
        # Once more: another program may have been done with it since it was looked for before the lock.
        video.check_output(run.target)
        check_not_there(run.target, overwrite)
        _make_room(run, before, request, overwrite)
        _write(run.path / _REQUEST, request)
        return run
    except OSError as error:
        with suppress(OSError):
            run.path.rmdir()  # if it is empty
        raise DvaError(
            f"{run.target} cannot be begun, as {run.path} cannot be written ({_why(error)}); make room, or give "
            "another output."
        ) from error


def _make_room(run: RunFolder, before: dict[str, Any] | None, request: dict[str, Any], overwrite: bool) -> None:
    """Clears the folder of what is not of this request, which may be no more than what was asked for `before`."""
    if run.path.is_dir() and any(not entry.name.startswith(".") for entry in run.path.iterdir()):
        if not (run.path / _REQUEST).is_file():
            raise DvaError(_in_the_way(run))
        if before != request and (before is not None or run.stages):
            if not overwrite:
                raise DvaError(_damaged_request(run) if before is None else _another_request(run, before, request))
            _remove(run)
    elif run.path.exists() and not run.path.is_dir():
        raise DvaError(_in_the_way(run))
    run.path.mkdir(exist_ok=True)
    for left in run.path.glob(".*"):  # of a run that was killed while it wrote
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _read(file: Path) -> dict[str, Any] | None:
    """The request of a run and what is noted beside it; None when the file is damaged or not there."""
    try:
        request = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return request if isinstance(request, dict) else None


def _write(file: Path, request: Mapping[str, Any]) -> None:
    with whole_or_nothing(file) as unfinished:
        unfinished.write_text(json.dumps(request, indent=2))
        settle(unfinished)
    settle_name(file)


def _facts(path: Path) -> list[list[Any]] | None:
    """By which a file, or a folder of files, is known again after it was renamed; None when nothing is there."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        about = [("" if file == path else file.name, file.stat()) for file in files]
    except OSError:
        return None
    return [[name, facts.st_size, facts.st_mtime_ns] for name, facts in about]


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)


def _in_the_way(run: RunFolder) -> str:
    return f"{run.path} is in the way and not of an unfinished run; rename it, or give another output."


def _damaged_request(run: RunFolder) -> str:
    return (
        f"{run.path} holds an unfinished run, but its {_REQUEST} is damaged and nothing can go on with it; give "
        "--overwrite (overwrite=True) to drop it, or another output."
    )


def _another_request(run: RunFolder, before: dict[str, Any], now: dict[str, Any]) -> str:
    differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return (
        f"{run.path} holds an unfinished run of another request ({', '.join(differ)}); ask for the same again to go on "
        "with it, or give --overwrite (overwrite=True) to drop it, or another output."
    )


def _what_is_kept(said: str, run: RunFolder) -> str:
    return f"{said.strip()} What is done is kept in {run.path}; ask for the same again to go on.".strip()


def _remove_after(run: RunFolder) -> None:
    try:
        _remove(run)
    except OSError as error:
        raise DvaError(
            f"{run.target} is written, but {run.path} cannot be removed ({_why(error)}); remove it."
        ) from error


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
