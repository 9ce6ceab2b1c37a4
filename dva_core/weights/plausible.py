"""What cannot be a weight file is known by its first bytes: the answers of servers that refuse, and damaged zips."""

from __future__ import annotations

from pathlib import Path

from ..progress import Cancel, Progress, Watch, never, silent
from .unpacking import BLOCK, DamagedZip, blocks, opened

_START = 512
_ZIP = b"PK"
_PICKLE = b"\x80"
_PYTORCH = (".ckpt", ".pth", ".pt", ".pkl")


def implausible(file: Path, suffix: str | None = None) -> str:
    """What a file is instead of a weight file, such as "a web page"; "" when it may be one, and when it is unreadable.

    Its format is told by its ending, or by `suffix`. Only its first bytes are read, and the list of a zip's files.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(_START)
    except OSError:
        return ""  # whoever reads it next tells why not
    suffix = file.suffix if suffix is None else suffix
    if not start:
        return "an empty file"
    if suffix == ".safetensors":
        # Begins with a number, which may look like anything.
        return "" if start[8:9] == b"{" else _text(start) or "a file that is no safetensors file"
    if text := _text(start):
        return text
    if start.startswith(_ZIP):
        return _without_list(file)
    if suffix in _PYTORCH and not start.startswith(_PICKLE):
        return "a file that is no checkpoint of PyTorch"
    return ""


def is_zip(file: Path) -> bool:
    """Whether a file begins as a zip does; raises OSError when it cannot be read."""
    with file.open("rb") as stream:
        return stream.read(len(_ZIP)) == _ZIP


def damaged_zip(file: Path, progress: Progress = silent, cancelled: Cancel = never) -> str:
    """What a zip is instead of a sound one, after all of it is read and its checksums are compared; "" if it is sound.

    progress is in MB. Raises Cancelled.
    """
    try:
        with opened(file) as archive:
            members = archive.infolist()
            megabytes = sum(-(-member.file_size // BLOCK) for member in members)
            watch = Watch("checking zip (MB)", megabytes, progress, cancelled)
            for member in members:
                for _ in blocks(archive, member):
                    watch.tick()
    except DamagedZip as error:
        return f"a damaged zip ({error})"
    return ""


def _text(start: bytes) -> str:
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "a web page"
    return "a message (JSON)" if start.startswith((b"{", b"[")) else ""


def _without_list(file: Path) -> str:
    """A zip that was cut short lacks the list of its files, which stands at its end."""
    try:
        with opened(file):
            return ""
    except DamagedZip as error:
        return f"a damaged zip ({error})"
