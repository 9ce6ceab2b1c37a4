"""Downloads from a server on this machine: whole and in place, or one sentence and nothing half-written."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dva_core.errors import Cancelled, first_line
from dva_core.weights import ledger
from dva_core.weights.download import Fetched, fetch

from .http_files import Files, serving
from .offered_weights import (
    CONTENT,
    SHA256,
    empty_models_folder,
    lying_in,
    offered,
    pack,
    refused,
    weights,
)


@pytest.fixture
def files(monkeypatch) -> Iterator[Files]:
    with offered(monkeypatch) as files:
        yield files


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    return empty_models_folder(tmp_path, monkeypatch)


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


def test_a_disk_without_room_is_noticed_before_anything_is_asked_for(files, folder):
    refused(weights(files, size=10**18), folder, r"free, and 1000000000\.00 GB more are needed\); choose a folder")
    assert files.asked == [] and lying_in(folder) == []


def test_cookies_of_other_programs_are_left_alone(files, folder, tmp_path, monkeypatch):
    cookies = tmp_path / "cookies.txt"
    cookies.write_bytes(b"not cookies")
    gdown = importlib.import_module("gdown.download")
    monkeypatch.setattr(gdown, "DEFAULT_COOKIES_FILE", str(cookies))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch(weights(files), folder)
    assert cookies.read_bytes() == b"not cookies"


def test_a_mistake_in_the_program_is_not_told_as_a_refusal(files, folder):
    def mistaken(stage, done, total):
        raise KeyError(stage)

    with pytest.raises(KeyError):
        fetch(weights(files), folder, mistaken)


def test_errors_that_say_nothing_are_told_by_their_kind():
    assert first_line(AssertionError()) == "AssertionError" == first_line(AssertionError("\n"))
    assert first_line(ValueError("\nno room here.\nmore")) == "no room here"


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
