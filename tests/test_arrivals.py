"""What arrives from a server is held against all that is known of it, and is not kept when it is wrong."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dva_core.weights import ledger
from dva_core.weights.download import fetch

from .http_files import Files
from .offered_weights import (
    CONTENT,
    SHA256,
    empty_models_folder,
    lying_in,
    offered,
    pack,
    packed,
    refused,
    weights,
)

OTHER = packed({"a/data": bytes(range(1, 256)) * 8_000 + bytes(8_000)})
"""Of the same length as CONTENT."""
NO_ZIP = b"\x80\x02" + bytes(range(256)) * 8_000


@pytest.fixture
def files(monkeypatch) -> Iterator[Files]:
    with offered(monkeypatch) as files:
        yield files


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    return empty_models_folder(tmp_path, monkeypatch)


def test_what_was_cut_short_is_not_completed_with_the_end_of_another_file(files, folder):
    files.cuts = [1_000_000]
    refused(weights(files), folder, "the connection broke")
    files.contents["/a.pth"] = OTHER
    refused(weights(files), folder, r"sent a damaged zip \(Bad CRC-32 .*\) instead of a, which is not kept; try again")
    assert lying_in(folder) == []
    assert fetch(weights(files), folder).path.read_bytes() == OTHER


def test_it_starts_anew_where_nothing_could_tell_the_end_of_another_file(files, folder):
    files.contents["/a.pth"], files.cuts = NO_ZIP, [700_000]
    refused(weights(files), folder, r"the connection broke before all had arrived\); try again later, or")
    assert lying_in(folder) == []
    files.contents["/a.pth"] = changed = NO_ZIP.replace(b"ab", b"ba")
    assert fetch(weights(files), folder).path.read_bytes() == changed
    assert [wanted for _, wanted in files.asked] == [None, None]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>Quota exceeded</title>", "a web page"),
        (b"\xef\xbb\xbf<!-- hi --><html></html>", "a web page"),
        (b'<meta charset="utf-8">', "a web page"),
        (b'{"error":"quota exceeded"}', r"a message \(JSON\)"),
        (b"Quota exceeded", "a file that is no checkpoint of PyTorch"),
        (CONTENT[:-30], r"a damaged zip \(File is not a zip file\)"),
        (CONTENT.replace(b"abc", b"cba", 1), r"a damaged zip \(Bad CRC-32 for file 'a/data'\)"),
    ],
    ids=["nothing", "page", "comment", "meta", "json", "text", "cut", "bits"],
)
def test_what_no_weight_file_can_be_is_not_taken_for_one(files, folder, sent, said):
    files.contents["/a.pth"] = sent
    message = refused(weights(files), folder, rf"^The server sent {said} instead of a, which is not kept; try again")
    assert f"or download {files.url('/a.pth')} in a browser" in message
    assert lying_in(folder) == []


def test_what_no_weight_file_can_be_counts_as_not_there(files, folder):
    path = folder / "dva/a.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>Quota exceeded</html>")
    files.contents["/a.pth"] = b"<html>Quota exceeded again</html>"
    refused(weights(files), folder, "sent a web page")
    assert path.read_bytes() == b"<html>Quota exceeded</html>" and lying_in(folder) == ["dva/a.pth"]
    files.contents["/a.pth"] = CONTENT
    assert not fetch(weights(files), folder).already_there
    assert path.read_bytes() == CONTENT and ledger.state(path, None, [folder]) == "recorded"


def test_the_recorded_hash_of_a_web_page_does_not_shut_out_the_right_file(files, folder):
    path = folder / "dva/a.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>Quota exceeded</html>")
    ledger.record(path, ledger.sha256_of(path), [folder])
    assert fetch(weights(files), folder).path.read_bytes() == CONTENT


def test_a_file_of_another_size(files, folder):
    refused(weights(files, size=10), folder, rf"has {len(CONTENT)} bytes instead of 10, and is not kept")
    assert lying_in(folder) == []


def test_a_file_with_another_hash(files, folder):
    refused(weights(files, sha256="0" * 64), folder, rf"has the SHA-256 {SHA256}, but 0000\w+ was published")
    assert lying_in(folder) == []


def test_a_file_that_is_another_than_at_its_first_download(files, folder):
    path = fetch(weights(files), folder).path
    path.unlink()
    files.contents["/a.pth"] = OTHER
    refused(weights(files), folder, r"but \w+ was published or recorded before")
    assert not path.exists()


def test_a_wrong_file_gives_way_to_the_right_one_only(files, folder):
    path = folder / "dva/a.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wrong")
    files.contents["/a.pth"] = OTHER
    refused(weights(files, sha256=SHA256), folder, "is not kept")
    assert path.read_bytes() == b"wrong"
    files.contents["/a.pth"] = CONTENT
    assert not fetch(weights(files, sha256=SHA256), folder).already_there
    assert path.read_bytes() == CONTENT


def test_a_zip_without_room_to_be_unpacked_is_kept_until_there_is(files, folder, monkeypatch):
    files.contents["/a.zip"] = packed({"x.onnx": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
        refused(pack(files), folder, r"packs: 1\.0 MB free, and 10\.0 MB more are needed\); choose a folder")
    assert lying_in(folder) == ["packs/.a.download"]
    fetch(pack(files), folder)
    assert len(files.asked) == 1 and lying_in(folder) == ["hashes.json", "packs/a/x.onnx"]


def test_a_zip_that_is_not_right_leaves_all_as_it_was(files, folder):
    (folder / "packs/a").mkdir(parents=True)
    (folder / "packs/a/old.onnx").write_bytes(b"old")
    files.contents["/a.zip"] = b"PK no zip"
    refused(pack(files), folder, r"The server sent a damaged zip \(.*\) instead of a, which is not kept; try again")
    assert lying_in(folder.parent) == ["models/packs/a/old.onnx"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_fetched_anew_once_the_server_is_repaired(files, folder, method):
    whole = packed({"x.onnx": bytes(range(256)) * 40}, method)
    files.contents["/a.zip"] = whole[:60] + bytes(40) + whole[100:]
    refused(pack(files), folder, r"The zip of a cannot be unpacked \(.*\), and is not kept; get it again\.")
    assert lying_in(folder) == []
    files.contents["/a.zip"] = whole
    assert (fetch(pack(files), folder).path / "x.onnx").stat().st_size == 10_240


def test_a_pack_that_was_unpacked_before_must_stay_the_same(files, folder):
    path = fetch(pack(files), folder).path
    (path / "x.onnx").write_bytes(b"changed")
    files.contents["/a.zip"] = packed({"x.onnx": b"replaced"})
    refused(pack(files), folder, r"published or recorded before")
    assert (path / "x.onnx").read_bytes() == b"changed"
    files.contents.pop("/a.zip")
    fetch(pack(files), folder)
    assert (path / "x.onnx").read_bytes() == b"x"
