"""Downloads from a server on this machine: whole, right and in place, or one sentence and nothing half-written."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dva_core.errors import Cancelled, DvaError
from dva_core.weights import ledger
from dva_core.weights.download import Fetched, fetch
from dva_core.weights.registry import PackedFile, WeightFile

from .http_files import Files, serving

CONTENT = bytes(range(256)) * 8_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files(monkeypatch) -> Files:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "DVA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(a_pth=CONTENT) as files:
        yield files


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def weights(files: Files, **other) -> WeightFile:
    made = WeightFile(
        name="a", purpose="tests", licence="MIT", commercial="yes", why="tests", source=files.url("/a.pth"),
        place="dva/a.pth",
    )  # fmt: skip
    return replace(made, **other)


def pack(files: Files, **other) -> WeightFile:
    files.contents.setdefault("/a.zip", packed({"top/x.onnx": b"x", "top/deep/y.onnx": b"y", "__MACOSX/._x": b"."}))
    made = weights(files, source=files.url("/a.zip"), place="packs/a", contents=(PackedFile("x.onnx"),))
    return replace(made, **other)


def packed(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return stream.getvalue()


def refused(wanted: WeightFile, folder: Path, match: str, **options) -> str:
    with pytest.raises(DvaError, match=match) as raised:
        fetch(wanted, folder, **{"retries": 0, **options})
    message = str(raised.value)
    assert "\n" not in message and message.endswith(".")
    return message


def lying_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- what goes well ---


def test_a_file_is_fetched_checked_recorded_and_nothing_else_is_left(files, folder):
    wanted = weights(files, size=len(CONTENT), sha256=SHA256)
    assert fetch(wanted, folder) == Fetched(folder / "dva/a.pth", already_there=False)
    assert (folder / "dva/a.pth").read_bytes() == CONTENT
    assert lying_in(folder) == ["dva/a.pth", "hashes.json"]
    assert ledger.state(folder / "dva/a.pth", SHA256, [folder]) == "published"


def test_others_may_read_what_was_fetched(files, folder):
    path = fetch(weights(files), folder).path
    fresh = folder / "fresh"
    fresh.touch()
    assert path.stat().st_mode == fresh.stat().st_mode


def test_a_file_that_is_there_is_not_fetched_again(files, folder):
    fetch(weights(files), folder)
    assert fetch(weights(files), folder) == Fetched(folder / "dva/a.pth", already_there=True)
    assert len(files.asked) == 1


def test_progress_is_told_in_megabytes(files, folder):
    heard = []
    fetch(weights(files), folder, progress=lambda *told: heard.append(told))
    assert heard[0][0] == "a (MB)" and ("a (MB)", 2, 3) in heard and heard[-1] == ("checking (MB)", 3, 3)


def test_a_zip_becomes_a_folder_without_the_folder_around_its_files(files, folder):
    path = fetch(pack(files), folder).path
    assert path == folder / "packs/a"
    assert lying_in(folder) == ["hashes.json", "packs/a/deep/y.onnx", "packs/a/x.onnx"]
    assert ledger.state(path / "x.onnx", None, [folder]) == "recorded"
    assert fetch(pack(files), folder).already_there


def test_an_incomplete_pack_is_made_whole(files, folder):
    (folder / "packs/a").mkdir(parents=True)
    (folder / "packs/a/old.onnx").write_bytes(b"old")
    fetch(pack(files), folder)
    assert lying_in(folder / "packs") == ["a/deep/y.onnx", "a/x.onnx"]


def test_the_proxy_of_the_environment_is_used(files, folder, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", files.address)
    fetch(weights(files, source="http://weights.invalid/a.pth"), folder)
    assert files.asked[0][0] == "http://weights.invalid/a.pth"


# --- what is interrupted goes on ---


def test_a_download_cut_short_goes_on_where_it_stopped(files, folder):
    files.cuts = [700_000]
    refused(
        weights(files), folder, "the connection broke before all had arrived.*; what has arrived is kept, so try again"
    )
    assert [Path(name).suffix for name in lying_in(folder)] == [".part"]
    fetch(weights(files), folder)
    assert re.fullmatch(r"bytes=[1-9]\d+-", files.asked[-1][1])
    assert (folder / "dva/a.pth").read_bytes() == CONTENT
    assert lying_in(folder) == ["dva/a.pth", "hashes.json"]


def test_it_goes_on_by_itself_when_the_connection_breaks(files, folder):
    files.cuts = [700_000]
    fetch(weights(files, sha256=SHA256), folder, retries=1)
    assert len(files.asked) == 2


def test_it_starts_anew_where_the_server_cannot_go_on(files, folder):
    files.cuts, files.ranges = [700_000], False
    refused(weights(files), folder, "the connection broke")
    fetch(weights(files, sha256=SHA256), folder)
    assert lying_in(folder) == ["dva/a.pth", "hashes.json"]


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt])
def test_what_has_arrived_before_cancelling_is_kept(files, folder, stop):
    def progress(stage, done, total):
        if stop is KeyboardInterrupt and done:
            raise KeyboardInterrupt

    with pytest.raises(stop):
        fetch(weights(files), folder, progress, cancelled=lambda: stop is Cancelled)
    assert [Path(name).suffix for name in lying_in(folder)] == [".part"]
    fetch(weights(files, sha256=SHA256), folder)
    assert files.asked[-1][1].startswith("bytes=")


# --- what cannot be had ---


def test_offline_nothing_is_asked_for_and_the_way_by_hand_is_told(files, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(weights(files), folder, rf"stay offline; unset it, or download {files.url('/a.pth')} in a browser and save")
    assert files.asked == [] and not folder.exists()


def test_a_file_that_is_there_needs_no_connection(files, folder):
    fetch(weights(files), folder)
    assert fetch(weights(files), folder, offline=True).already_there


def test_a_file_that_the_server_does_not_have(files, folder):
    message = refused(weights(files, source=files.url("/b.pth")), folder, r"the server answers 404 Not Found")
    assert f"save it as {folder}/dva/a.pth" in message and lying_in(folder) == []


def test_a_server_that_is_gone(files, folder):
    with serving() as gone:
        pass
    refused(weights(gone, source=gone.url("/a.pth")), folder, r"there is no connection to the server")
    refused(weights(gone, source=gone.url("/a.pth")), folder, r"there is no connection to the server", retries=1)
    assert lying_in(folder) == []


def test_google_drive_out_of_reach(folder, monkeypatch):
    with serving() as gone:
        pass
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, gone.address)
    message = refused(weights(gone, source="drive:abc"), folder, r"the proxy that the environment names does not let")
    assert "; try again later, or download https://drive.google.com/file/d/abc/view in a browser" in message


def test_a_web_page_in_place_of_the_file(files, folder):
    files.contents["/a.pth"] = b"\n<!DOCTYPE html><title>Quota exceeded</title>"
    refused(weights(files), folder, r"sent a web page instead of a; read what it says at http")
    assert lying_in(folder) == []


def test_a_file_of_another_size(files, folder):
    refused(weights(files, size=10), folder, r"has 2048000 bytes instead of 10, and is not kept")
    assert lying_in(folder) == []


def test_a_file_with_another_hash(files, folder):
    refused(weights(files, sha256="0" * 64), folder, rf"has the SHA-256 {SHA256}, but 0000\w+ was published")
    assert lying_in(folder) == []


def test_a_file_that_is_another_than_at_its_first_download(files, folder):
    path = fetch(weights(files), folder).path
    path.unlink()
    files.contents["/a.pth"] = b"replaced"
    refused(weights(files), folder, r"but \w+ was published or recorded before")
    assert not path.exists()


def test_a_wrong_file_gives_way_to_the_right_one_only(files, folder):
    path = folder / "dva/a.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wrong")
    files.contents["/a.pth"] = b"wrong too"
    refused(weights(files, sha256=SHA256), folder, "is not kept")
    assert path.read_bytes() == b"wrong"
    files.contents["/a.pth"] = CONTENT
    assert not fetch(weights(files, sha256=SHA256), folder).already_there
    assert path.read_bytes() == CONTENT


def test_a_disk_without_room_is_noticed_before_anything_is_asked_for(files, folder):
    refused(weights(files, size=10**18), folder, r"GB free, and the download needs 1000000000\.0 GB more; make room")
    assert files.asked == [] and lying_in(folder) == []


def test_a_file_where_a_folder_has_to_be(files, folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(b"")
    refused(
        weights(files), folder, r"cannot be written to .*models \(.*\); choose a folder with --folder or DVA_MODELS"
    )
    refused(pack(files, place=""), folder, r"is a file, where a has to be a folder; move it away")


def test_a_damaged_ledger_is_told_before_anything_is_asked_for(files, folder):
    folder.mkdir()
    (folder / "hashes.json").write_text("{")
    refused(weights(files), folder, r"hashes\.json, the list of hashes, is damaged")
    assert files.asked == []


def test_a_folder_where_the_file_has_to_be(files, folder):
    (folder / "dva/a.pth").mkdir(parents=True)
    refused(weights(files), folder, r"a\.pth is a folder, where a has to be a file; move it away")
    assert files.asked == []


def test_two_downloads_of_one_file_do_not_meet(files, folder):
    second = []

    def meanwhile(stage, done, total):
        if not second:
            second.append(refused(weights(files), folder, "already being downloaded to .*; wait for that to end"))

    fetch(weights(files, sha256=SHA256), folder, meanwhile)
    assert second and lying_in(folder) == ["dva/a.pth", "hashes.json"]


# --- zips that are not right ---


def test_a_zip_that_is_not_right_leaves_all_as_it_was(files, folder):
    (folder / "packs/a").mkdir(parents=True)
    (folder / "packs/a/old.onnx").write_bytes(b"old")
    files.contents["/a.zip"] = b"PK no zip"
    refused(pack(files), folder, r"The zip of a cannot be unpacked \(.*\), and is not kept; get it again")
    assert lying_in(folder.parent) == ["models/packs/a/old.onnx"]


def test_a_pack_that_was_unpacked_before_must_stay_the_same(files, folder):
    path = fetch(pack(files), folder).path
    (path / "x.onnx").write_bytes(b"changed")
    files.contents["/a.zip"] = packed({"x.onnx": b"replaced"})
    refused(pack(files), folder, r"published or recorded before")
    assert (path / "x.onnx").read_bytes() == b"changed"
    files.contents.pop("/a.zip")
    fetch(pack(files), folder)
    assert (path / "x.onnx").read_bytes() == b"x"
