"""The hashes of weight files on this machine: recorded on first use in `hashes.json`, and checked ever after.

Big files are read once: while size and time of change stay as recorded, the recorded hash is trusted.
Every function takes `folders`, the models folders whose ledgers count, the one that the file lies in first; the first
that can be written to is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import DvaError
from ..files import alone, whole_or_nothing
from ..progress import Cancel, Progress, Watch, never, silent

LEDGER = "hashes.json"
State = Literal["published", "recorded", "unchecked", "changed"]
"""published, recorded: the hash is right, as it was published or as it was on first use; unchecked: never seen."""
_BLOCK = 1_000_000
_PATIENCE = 20.0


class WrongHash(DvaError):
    """A file is another than was published or recorded, or what no weight file can be."""


def check(
    path: Path,
    published: str | None,
    folders: Sequence[Path],
    again: bool = False,
    progress: Progress = silent,
    cancelled: Cancel = never,
) -> str:
    """The SHA-256 of a file that is as published, or as it was on first use; it is recorded if it was not yet.

    With `again` the file is read even if it looks unchanged. Raises WrongHash for another file, DvaError for one that
    cannot be read and for a damaged ledger.
    """
    entry = _entry(path, folders)
    expected = published or (entry and entry["sha256"])
    if entry and not again and _unchanged(path, entry) and entry["sha256"] == expected:
        return expected
    found = sha256_of(path, progress, cancelled)
    if expected and found != expected:
        origin = "was published" if published else "was recorded on first use"
        raise WrongHash(f"{path} has the SHA-256 {found}, but {expected} {origin}")
    record(path, found, folders)
    return found


def state(path: Path, published: str | None, folders: Sequence[Path]) -> State:
    """What is known of a file without reading it; DvaError for a damaged ledger."""
    entry = _entry(path, folders)
    if entry is None:
        return "unchecked"
    if not _unchanged(path, entry) or (published and entry["sha256"] != published):
        return "changed"
    return "published" if published else "recorded"


def recorded(path: Path, folders: Sequence[Path]) -> str | None:
    """The SHA-256 that a file had on first use, whether or not it is there now; DvaError for a damaged ledger."""
    entry = _entry(path, folders)
    return entry and entry["sha256"]


def record(path: Path, sha256: str, folders: Sequence[Path]) -> None:
    """Writes down the hash of a file, in place of any other; several programs may do so at once.

    DvaError where no ledger can be written, and for a damaged one.
    """
    status = path.stat()
    entry = {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    for folder in folders:
        try:
            with alone(folder / LEDGER, _PATIENCE), whole_or_nothing(folder / LEDGER) as unfinished:
                entries = {**_read(folder), _key(path, folder): entry}
                unfinished.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            return
        except OSError as error:
            reason = error.strerror or str(error)
    raise DvaError(
        f"The hash of {path} cannot be recorded in {folders[-1] / LEDGER} ({reason}); make that folder writable, or "
        "set DVA_MODELS to one that is."
    )


def sha256_of(path: Path, progress: Progress = silent, cancelled: Cancel = never) -> str:
    """The SHA-256 of a file, in hexadecimal; progress is in MB. DvaError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        watch = Watch("checking (MB)", -(-path.stat().st_size // _BLOCK), progress, cancelled)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                watch.tick()
    except OSError as error:
        reason = error.strerror or error
        raise DvaError(f"{path} cannot be read ({reason}); see to its rights, or copy it anew.") from error
    return digest.hexdigest()


def _entry(path: Path, folders: Sequence[Path]) -> dict[str, Any] | None:
    return next((entry for folder in folders if (entry := _read(folder).get(_key(path, folder)))), None)


def _unchanged(path: Path, entry: dict[str, Any]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (entry["size"], entry["mtime_ns"])


def _key(path: Path, folder: Path) -> str:
    """Relative, so that a models folder may be moved; absolute for what lies elsewhere."""
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _read(folder: Path) -> dict[str, Any]:
    ledger = folder / LEDGER
    try:
        entries = json.loads(ledger.read_text(encoding="utf-8"))
        for entry in entries.values():
            if not (isinstance(entry["sha256"], str) and isinstance(entry["size"], int)) or "mtime_ns" not in entry:
                raise TypeError
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DvaError(f"{ledger}, the list of hashes, cannot be read ({error.strerror or error}).") from error
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DvaError(
            f"{ledger}, the list of hashes, is damaged; put back a copy, or delete it, so that every file is recorded "
            "anew on its next use."
        ) from error
    return entries
