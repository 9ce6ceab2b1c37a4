"""Weight files from their public places: downloaded with resume, checked, and only then put where they belong."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import Cancelled, DvaError, first_line
from ..files import alone, check_room, whole_or_nothing
from ..libraries import library
from ..progress import Cancel, Progress, never, silent
from . import ledger, places
from .plausible import damaged_zip, implausible, is_zip
from .registry import WeightFile, by_hand
from .unpacking import unpacked

_MB = 1_000_000
_SECONDS = 30.0
_DRIVE = "drive:"
_NO_FAULT_OF_THE_FILE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Fetched:
    """Where a weight file lies, and whether it was already there."""

    path: Path
    already_there: bool


def fetch(
    wanted: WeightFile,
    folder: Path,
    progress: Progress = silent,
    cancelled: Cancel = never,
    offline: bool | None = None,
    retries: int = 5,
) -> Fetched:
    """Gets a weight file into a models folder, checks it, and records its hash; nothing is done if it is there.

    What has arrived of an interrupted download stays beside the file as a hidden .part, from which the next call goes
    on, where it can be told afterwards whether all is of one file. A file that is there is replaced only by one that
    is right. offline None asks the environment: DVA_OFFLINE or HF_HUB_OFFLINE. Proxies are those of the environment.
    progress is in MB. Raises DvaError when the file cannot be had or is not right, telling how to get it by hand;
    Cancelled.
    """
    present = places.find_in(wanted, folder)
    if present and _is_right(wanted, present, folder, progress, cancelled):
        return Fetched(present, already_there=True)
    if _offline() if offline is None else offline:
        raise DvaError(
            f"{wanted.name} is not downloaded, as DVA_OFFLINE or HF_HUB_OFFLINE asks to stay offline; unset it, or "
            f"{by_hand(wanted, folder)}."
        )
    target = folder / wanted.place
    # Of a damaged ledger one wants to hear before the download, not after it.
    ledger.recorded(target, places.ledgers(target, (folder,)))
    try:
        _check_place(wanted, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(wanted, target):
            # gdown keeps what has arrived in <this name><8 letters>.part, beside it.
            arrived = target.with_name(f".{target.name}.download")
            # It is there already, and whole, where the last call lacked room or a right, or was cancelled.
            if not arrived.is_file():
                _download(wanted, folder, arrived, retries, progress, cancelled)
            try:
                _accept(wanted, folder, arrived, target, progress, cancelled)
            except Exception as error:
                # A wrong file would be wrong again, so the next call has to start from nothing.
                if not _worth_keeping(error):
                    arrived.unlink(missing_ok=True)
                raise
    except OSError as error:
        where, reason = error.filename or target, error.strerror or error
        raise DvaError(
            f"{wanted.name} cannot be written to {folder} ({where}: {reason}); choose a folder with --folder or "
            "DVA_MODELS that can be written to and has room."
        ) from error
    return Fetched(target, already_there=False)


def _is_right(wanted: WeightFile, path: Path, folder: Path, progress: Progress, cancelled: Cancel) -> bool:
    try:
        places.check(wanted, path, (folder,), progress=progress, cancelled=cancelled)
    except ledger.WrongHash:
        return False
    return True


def _offline() -> bool:
    return any(
        os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")
        for name in ("DVA_OFFLINE", "HF_HUB_OFFLINE")
    )


def _check_place(wanted: WeightFile, target: Path) -> None:
    if target.exists() and target.is_dir() != bool(wanted.contents):
        there, due = ("a folder", "file") if target.is_dir() else ("a file", "folder")
        raise DvaError(f"{target} is {there}, where {wanted.name} has to be a {due}; move it away and try again.")


@contextmanager
def _alone(wanted: WeightFile, target: Path) -> Iterator[None]:
    """Only one process downloads a file at a time: two would write into one .part."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(target))
        except BlockingIOError as error:
            raise DvaError(f"{wanted.name} is already being downloaded to {target}; wait for that to end.") from error
        yield


def _worth_keeping(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_FAULT_OF_THE_FILE
    return isinstance(error, Cancelled)


def _download(
    wanted: WeightFile, folder: Path, arrived: Path, retries: int, progress: Progress, cancelled: Cancel
) -> None:
    gdown, exceptions = library("gdown", "Downloads"), library("gdown.exceptions", "Downloads")
    requests = library("requests", "Downloads")
    on_drive = wanted.source.startswith(_DRIVE)
    # gdown's own errors when Google Drive answers with a page that it does not know; elsewhere they are mistakes.
    unknown_page = (LookupError, AssertionError) if on_drive else ()

    def advance(done: int, total: int | None) -> None:
        total = total or wanted.size or 0
        check_room(folder, total - done)
        progress(f"{wanted.name} (MB)", done // _MB, _megabytes(total))
        if cancelled():
            raise Cancelled(f"Stopped while {wanted.name} was being downloaded.")

    def get() -> None:
        source = {"id": wanted.source.removeprefix(_DRIVE)} if on_drive else {"url": wanted.source}
        # Cookies would be those of other programs' downloads, kept in the user's home.
        gdown.download(
            **source, output=str(arrived), quiet=True, resume=True, progress=advance, timeout=_SECONDS,
            retries=retries, use_cookies=False,
        )  # fmt: skip

    _drop_what_cannot_go_on(wanted, arrived)
    check_room(folder, (wanted.size or 0) - sum(part.stat().st_size for part in _parts(arrived)))
    try:
        try:
            get()
        except exceptions.DownloadError as error:
            # The server cannot go on from where the .part ends: it has no ranges, or another file by now.
            if "byte range" not in str(error) or not _parts(arrived):
                raise
            for part in _parts(arrived):
                part.unlink()
            get()
    except (requests.RequestException, exceptions.DownloadError, *unknown_page) as error:
        _drop_what_cannot_go_on(wanted, arrived)
        again = "what has arrived is kept, so try again to go on" if _parts(arrived) else "try again later"
        raise DvaError(
            f"{wanted.name} could not be downloaded ({_reason(error)}); {again}, or {by_hand(wanted, folder)}."
        ) from error


def _drop_what_cannot_go_on(wanted: WeightFile, arrived: Path) -> None:
    """The server may have another file by now, which only a published hash or the checksums of a zip would show."""
    for part in _parts(arrived):
        if not wanted.sha256 and not is_zip(part):
            part.unlink()


def _parts(arrived: Path) -> list[Path]:
    return list(arrived.parent.glob(f"{arrived.name}*.part"))


def _reason(error: Exception) -> str:
    requests, exceptions = library("requests", "Downloads"), library("gdown.exceptions", "Downloads")
    if isinstance(error.__cause__, requests.RequestException):
        # After its retries, gdown wraps the fault that stopped the last of them.
        error = error.__cause__
    if isinstance(error, exceptions.FileURLRetrievalError | LookupError | AssertionError):
        return "Google Drive does not give the file: too many have downloaded it today, or it is not public any more"
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_SECONDS:.0f} seconds"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy that the environment names does not let it through"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted here"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before all had arrived"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the server"
    return first_line(error)


def _accept(
    wanted: WeightFile, folder: Path, arrived: Path, target: Path, progress: Progress, cancelled: Cancel
) -> None:
    """Puts what has arrived where it belongs, if it is what was wanted; DvaError otherwise."""
    instead = implausible(arrived, target.suffix)
    if not instead and not wanted.sha256 and not wanted.contents and is_zip(arrived):
        instead = damaged_zip(arrived, progress, cancelled)
    if instead:
        raise DvaError(
            f"The server sent {instead} instead of {wanted.name}, which is not kept; try again later, or "
            f"{by_hand(wanted, folder)}."
        )
    size = arrived.stat().st_size
    if wanted.size is not None and size != wanted.size:
        raise DvaError(
            f"What was downloaded as {wanted.name} has {size} bytes instead of {wanted.size}, and is not kept; try "
            f"again, or {by_hand(wanted, folder)}."
        )
    books = places.ledgers(target, (folder,))
    if not wanted.contents:
        found = _checked(wanted, arrived, wanted.sha256 or _recorded(target, books), progress, cancelled)
        with whole_or_nothing(target) as unfinished:
            os.replace(arrived, unfinished)
        ledger.record(target, found, books)
        return
    _checked(wanted, arrived, wanted.sha256, progress, cancelled)
    with unpacked(arrived, target, [file.name for file in wanted.contents], wanted.name) as new:
        hashes = {}
        for file in wanted.contents:
            # Where the zip's own hash is published, no record of before knows better.
            before = None if wanted.sha256 else _recorded(target / file.name, books)
            hashes[file.name] = _checked(wanted, new / file.name, file.sha256 or before, progress, cancelled)
    arrived.unlink()
    for name, found in hashes.items():
        ledger.record(target / name, found, books)


def _recorded(target: Path, books: tuple[Path, ...]) -> str | None:
    # What lies there may have been recorded before such files were refused; that hash would shut out the right one.
    if ledger.state(target, None, books) == "recorded" and implausible(target):
        return None
    return ledger.recorded(target, books)


def _checked(wanted: WeightFile, path: Path, expected: str | None, progress: Progress, cancelled: Cancel) -> str:
    found = ledger.sha256_of(path, progress, cancelled)
    if expected and found != expected:
        raise DvaError(
            f"What was downloaded as {wanted.name} is not kept: it has the SHA-256 {found}, but {expected} was "
            f"published or recorded before (in {ledger.LEDGER}); try again, and if it stays so, the file has been "
            "replaced where it comes from."
        )
    return found


def _megabytes(size: int) -> int:
    return -(-size // _MB)
