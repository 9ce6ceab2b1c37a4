"""Zips become folders whole or not at all, and write nowhere else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dva_core.errors import DvaError
from dva_core.weights.unpacking import unpacked


@pytest.fixture
def target(tmp_path) -> Path:
    """A folder with something of before in it."""
    (tmp_path / "packs/a").mkdir(parents=True)
    (tmp_path / "packs/a/old.onnx").write_bytes(b"old")
    return tmp_path / "packs/a"


def packed(folder: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", method) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return folder / "a.zip"


def lying_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_files_are_seen_before_they_take_the_place_of_others(tmp_path, target):
    archive = packed(tmp_path, {"top/x.onnx": b"x", "top/deep/y.onnx": b"y", "__MACOSX/._x": b"."})
    with unpacked(archive, target, ["x.onnx"], "a") as new:
        assert lying_in(new) == ["deep/y.onnx", "x.onnx"] and lying_in(target) == ["old.onnx"]
    assert lying_in(target.parent) == ["a/deep/y.onnx", "a/x.onnx"]


def test_whatever_is_raised_meanwhile_leaves_all_as_it_was(tmp_path, target):
    with pytest.raises(KeyboardInterrupt), unpacked(packed(tmp_path, {"x": b"x"}), target, [], "a"):
        raise KeyboardInterrupt
    assert lying_in(target.parent) == ["a/old.onnx"]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"x.onnx": b"x", "../evil": b"!"}, r"holds \.\./evil, which would be written outside its folder"),
        ({"x.onnx": b"x", "/evil": b"!"}, r"holds /evil, which would be written outside its folder"),
        ({"x.onnx": b"x", "C:\\evil": b"!"}, r"holds C:/evil, which would be written outside its folder"),
        ({"x.onnx": b"x", "deep/C:evil": b"!"}, r"holds deep/C:evil, which would be written outside its folder"),
        ({".": b"!"}, r"holds \. as a file, which is a folder"),
        ({"x.onnx": b"x", "./.": b"!"}, r"holds \. as a file, which is a folder"),
        ({"x.onnx": b"x", "x.onnx/y": b"!"}, r"holds x\.onnx as a file, which is a folder"),
        ({"x.onnx": b"x", "./x.onnx": b"!"}, r"holds x\.onnx twice"),
        ({"other.onnx": b"x"}, r"lacks x\.onnx; it is another than was expected"),
    ],
    ids=["parent", "root", "drive", "deep drive", "nameless", "nameless too", "file and folder", "twice", "other"],
)
def test_a_zip_that_cannot_be_trusted_is_not_unpacked(tmp_path, target, contents, said):
    refused(packed(tmp_path, contents), target, said)
    assert lying_in(tmp_path) == ["a.zip", "packs/a/old.onnx"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damage", ["cut", "bits"])
def test_a_damaged_zip_is_not_unpacked(tmp_path, target, damage, method):
    archive = packed(tmp_path, {"x.onnx": bytes(range(256)) * 40}, method)
    content = archive.read_bytes()
    archive.write_bytes(content[:-30] if damage == "cut" else content[:60] + bytes(40) + content[100:])
    refused(archive, target, r"The zip of a cannot be unpacked \(.+\), and is not kept; get it again\.")
    assert lying_in(target.parent) == ["a/old.onnx"]


def test_what_cannot_be_written_is_no_damage(tmp_path, target):
    archive = packed(tmp_path, {"x.onnx": b"x", "y" * 300: b"y"})
    with pytest.raises(OSError, match="File name too long"), unpacked(archive, target, ["x.onnx"], "a"):
        pass
    assert lying_in(target.parent) == ["a/old.onnx"]


def refused(archive: Path, target: Path, match: str) -> None:
    with pytest.raises(DvaError, match=match), unpacked(archive, target, ["x.onnx"], "a"):
        pass
