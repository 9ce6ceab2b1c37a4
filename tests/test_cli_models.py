"""`dva models`, as somebody in a terminal meets it."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dva_core.cli.models import add_models
from dva_core.errors import DvaError
from dva_core.weights import registry
from dva_core.weights.registry import WEIGHTS, weight

from .http_files import serving

CHECKPOINT = weight("dva-checkpoint")
WEIGHTS_OF_PYTORCH = b"\x80\x02weights"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The models folder of somebody who has nothing yet and is offline."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("DVA_OFFLINE", "1")
    return tmp_path / "models"


def dva(*arguments: str) -> None:
    parser = argparse.ArgumentParser(prog="dva")
    add_models(parser.add_subparsers(required=True))
    options = parser.parse_args(arguments)
    options.run(options)


def put(path: Path, content: bytes = WEIGHTS_OF_PYTORCH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_list_tells_all_that_one_needs_to_know_of_every_file(folder, capsys):
    dva("models")
    out = capsys.readouterr().out
    for known in WEIGHTS:
        assert f"\n{known.name}\n" in "\n" + out and known.page in out and str(folder / known.place) in out
    assert out.count("  commercial use  no: ") == 3 and out.count("  commercial use  unclear: ") == 7
    assert f"0 of 12 known weight files are here (0.0 MB). Models folder: {folder}" in out
    assert not folder.exists()


def test_the_list_tells_what_is_here_and_whether_its_hash_is_right(folder, tmp_path, capsys):
    path = put(folder / CHECKPOINT.place, WEIGHTS_OF_PYTORCH + bytes(2_000_000))
    dva("models")
    assert f"{path} (2.0 MB, not checked yet)" in " ".join(capsys.readouterr().out.split())
    dva("models", "verify")
    assert capsys.readouterr().out == f"dva-checkpoint  as on first use  {path}\n"
    dva("models", "--json", str(tmp_path / "list.json"))
    listed = json.loads((tmp_path / "list.json").read_text())["files"]
    assert (listed[0]["name"], listed[0]["path"], listed[0]["hash_state"]) == ("dva-checkpoint", str(path), "recorded")
    put(path, b"\x80\x02changed")
    dva("models")
    assert f"{path} (0.0 MB, CHANGED since it was checked)" in " ".join(capsys.readouterr().out.split())


def test_with_a_folder_named_only_what_is_there_counts(folder, tmp_path, capsys):
    put(folder / CHECKPOINT.place)
    for arguments in (
        ["models", "--folder", str(tmp_path / "b")],
        ["models", "verify", "--folder", str(tmp_path / "b")],
    ):
        dva(*arguments)
    out = capsys.readouterr().out
    assert "0 of 12 known" in out and out.endswith(
        "There is no weight file here yet; `dva models` lists those that are known.\n"
    )


def test_the_licence_is_told_before_anything_is_downloaded(folder, capsys):
    with pytest.raises(DvaError, match="dva-classifier is not downloaded, as DVA_OFFLINE"):
        dva("models", "get", "dva-classifier")
    out = capsys.readouterr().out
    assert out.startswith("dva-classifier: the authors' code is MIT; ") and "Commercial use: unclear (no licence" in out


def test_what_is_here_is_said_to_be_here_with_the_next_step(folder, capsys):
    path = put(folder / CHECKPOINT.place)
    dva("models", "get", "dva-checkpoint")
    out = capsys.readouterr().out
    assert f"dva-checkpoint was already here: {path}\nNext: dva convert {path} (after dva-classifier" in out


def test_what_a_library_has_is_not_downloaded_again(tmp_path, monkeypatch, capsys):
    known = replace(CHECKPOINT, also=("~/.cache/library/a.pth",))
    monkeypatch.setattr(registry, "WEIGHTS", (known,))
    path = put(tmp_path / "home/.cache/library/a.pth")
    dva("models", "get", known.name)
    assert capsys.readouterr().out == f"dva-checkpoint is already here: {path}\n"


def test_a_download_says_where_the_file_lies_and_what_comes_next(folder, monkeypatch, capsys):
    monkeypatch.delenv("DVA_OFFLINE")
    with serving(a_ckpt=WEIGHTS_OF_PYTORCH) as files:
        monkeypatch.setattr(registry, "WEIGHTS", (replace(CHECKPOINT, source=files.url("/a.ckpt")),))
        dva("models", "get", "dva-checkpoint", "--folder", str(folder / "b"))
    path = folder / "b" / CHECKPOINT.place
    said, shown = capsys.readouterr()
    assert path.read_bytes() == WEIGHTS_OF_PYTORCH and "dva-checkpoint (MB)" in shown
    assert f"dva-checkpoint is now here: {path}\nNext: dva convert {path} (after" in said


def test_one_unknown_name_stops_the_others(capsys):
    with pytest.raises(DvaError, match="no known weight file 'nonsense'"):
        dva("models", "get", "dva-checkpoint", "nonsense")
    assert capsys.readouterr().out == ""


def test_verify_refuses_a_changed_file_until_it_is_accepted(folder, capsys):
    path = put(folder / CHECKPOINT.place)
    dva("models", "verify")
    put(path, b"\x80\x02changed")
    with pytest.raises(DvaError, match="run `dva models verify --accept dva-checkpoint`"):
        dva("models", "verify", "dva-checkpoint")
    dva("models", "verify", "--accept", "dva-checkpoint")
    dva("models", "verify")
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"dva-checkpoint  WRONG  {path}",
        f"dva-checkpoint  as on first use  {path}",
        f"dva-checkpoint  as on first use  {path}",
    ]


def test_a_web_page_is_wrong_cannot_be_accepted_and_is_fetched_anew(folder, monkeypatch, capsys):
    path = put(folder / CHECKPOINT.place, b"<html>Quota exceeded</html>")
    with pytest.raises(DvaError, match="is a web page; get it again with `dva models get dva-checkpoint`"):
        dva("models", "verify")
    with pytest.raises(DvaError, match="is a web page"):
        dva("models", "verify", "--accept", "dva-checkpoint")
    assert capsys.readouterr().out == f"dva-checkpoint  WRONG  {path}\n"
    monkeypatch.delenv("DVA_OFFLINE")
    with serving(a_ckpt=WEIGHTS_OF_PYTORCH) as files:
        monkeypatch.setattr(registry, "WEIGHTS", (replace(CHECKPOINT, source=files.url("/a.ckpt")),))
        dva("models", "get", "dva-checkpoint")
    assert path.read_bytes() == WEIGHTS_OF_PYTORCH and f"is now here: {path}" in capsys.readouterr().out


def test_a_published_hash_cannot_be_overruled(folder):
    detector = weight("facexlib-retinaface-resnet50")
    put(folder / detector.place)
    with pytest.raises(DvaError, match="was published"):
        dva("models", "verify", "--accept", detector.name)


def test_what_is_not_here_cannot_be_verified():
    with pytest.raises(DvaError, match="dva-checkpoint cannot be verified, not being here"):
        dva("models", "verify", "dva-checkpoint")
    with pytest.raises(DvaError, match="--accept needs the names"):
        dva("models", "verify", "--accept")
