"""A weight file and a pack of them that a server on this machine offers, and somebody who has nothing yet."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dva_core.errors import DvaError
from dva_core.weights.download import fetch
from dva_core.weights.registry import PackedFile, WeightFile

from .http_files import Files, serving


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return stream.getvalue()


# Checkpoints of PyTorch are zips, too.
CONTENT = packed({"a/data": bytes(range(256)) * 8_000})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A server with CONTENT, which nothing in the environment keeps anybody from."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "DVA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(a_pth=CONTENT) as files:
        yield files


def empty_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder of somebody with nothing at home; it is not made yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def weights(files: Files, **other) -> WeightFile:
    """What is known of CONTENT: nothing but its address, and what else is given."""
    made = WeightFile(
        name="a", purpose="tests", licence="MIT", commercial="yes", why="tests", source=files.url("/a.pth"),
        place="dva/a.pth",
    )  # fmt: skip
    return replace(made, **other)


def pack(files: Files, **other) -> WeightFile:
    """A zip of two files and a Mac's notes, of which one file makes it complete."""
    files.contents.setdefault("/a.zip", packed({"top/x.onnx": b"x", "top/deep/y.onnx": b"y", "__MACOSX/._x": b"."}))
    made = weights(files, source=files.url("/a.zip"), place="packs/a", contents=(PackedFile("x.onnx"),))
    return replace(made, **other)


def refused(wanted: WeightFile, folder: Path, match: str, **options) -> str:
    """The one sentence in which the file is refused."""
    with pytest.raises(DvaError, match=match) as raised:
        fetch(wanted, folder, **{"retries": 0, **options})
    message = str(raised.value)
    assert "\n" not in message and message.endswith(".")
    return message


def lying_in(folder: Path) -> list[str]:
    """The files in a folder and its folders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
