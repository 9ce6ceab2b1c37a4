"""Edits by words on the command line: what is asked for, what is kept, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dva_core import video
from dva_core.cli import main
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import IdentityShift
from dva_core.weights.bundle import load_model, save_bundle

from .clip_files import TINY_CLIP, no_connections, write_tiny_clip
from .tiny_model import tiny_model

TEXT = ["--text", "face", "face with eyeglasses"]
FEW = ["--text-iterations", "2"]


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    with no_connections():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A clip, a CLIP, and a model of another name than the demo's."""
    folder = tmp_path_factory.mktemp("files")
    frames = render_clip(HELD_OUT_SEEDS[3], frames=3, height=96, width=96).frames
    video.write_video(folder / "clip", frames, Fraction(24))
    write_tiny_clip(folder)
    save_bundle(tiny_model(), folder / "tiny.safetensors", summary={}, licence="MIT")
    shift = torch.randn(1, 512, generator=torch.Generator().manual_seed(1)) / 20
    IdentityShift(shift, load_model("demo").name, "face -> somebody else").save(folder / "else.safetensors")
    return folder


def edit(files: Path, target: Path, *more: str, model: str = "demo") -> int:
    request = ["edit", str(files / "clip"), str(target), "--model", model, "--device", "cpu", "--steps", "4", *more]
    return main(request)


def tiny_clip(files: Path) -> list[str]:
    return ["--clip", str(TINY_CLIP), str(files / "tiny_clip.safetensors")]


def frames(folder: Path) -> np.ndarray:
    return np.stack(list(video.read_frames(folder)))


def test_a_text_edit_is_made_reported_and_kept_for_other_videos(files, tmp_path, capsys):
    first, again, report, kept = (tmp_path / name for name in ("first", "again", "report.json", "kept.safetensors"))
    more = [*TEXT, *FEW, *tiny_clip(files), "--save-shift", str(kept), "--json", str(report)]
    assert edit(files, first, *more, "--text-scale", "1.5") == 0
    said = json.loads(report.read_text())
    assert said["text"]["shifts"] == [{"name": "face -> face with eyeglasses", "scale": 1.5}]
    assert (said["text"]["seen"], said["text"]["wanted"]) == ("face", "face with eyeglasses")
    assert said["text"]["iterations"] == 2
    assert set(said["text"]["losses"]) >= {"total", "clip", "identity", "picture", "similarity"}
    assert said["seconds"]["find text edit"] > 0
    assert "iterations" in capsys.readouterr().out

    assert edit(files, again, "--shift", str(kept), "--text-scale", "1.5") == 0
    assert np.array_equal(frames(first), frames(again))
    assert not np.array_equal(frames(first), frames(files / "clip"))


def test_the_demo_model_has_a_clip_of_its_own(files, tmp_path):
    report = tmp_path / "report.json"
    assert edit(files, tmp_path / "edited", *TEXT, *FEW, "--json", str(report)) == 0
    losses = json.loads(report.read_text())["text"]["losses"]
    assert losses["similarity"] > 0  # from 0, in one step


def test_scale_0_gives_the_video_back(files, tmp_path):
    assert edit(files, tmp_path / "edited", "--shift", str(files / "else.safetensors"), "--text-scale", "0") == 0
    assert np.array_equal(frames(tmp_path / "edited"), frames(files / "clip"))


def test_a_shift_goes_with_attributes_and_over_time(files, tmp_path):
    report = tmp_path / "report.json"
    more = ["--shift", str(files / "else.safetensors"), "--attribute", "Eyeglasses", "--curve", "0:0,2:1"]
    assert edit(files, tmp_path / "edited", *more, "--json", str(report)) == 0
    same = [np.array_equal(*pair) for pair in zip(frames(tmp_path / "edited"), frames(files / "clip"), strict=True)]
    assert same == [True, False, False]
    said = json.loads(report.read_text())
    assert said["edits"] == {"Eyeglasses": 1.0}
    assert said["text"] == {"shifts": [{"name": "face -> somebody else", "scale": 1.0}]}


def test_a_text_edit_can_be_made_as_published(files, tmp_path):
    report = tmp_path / "report.json"
    more = [*TEXT, *FEW, *tiny_clip(files), "--faithful", "--json", str(report)]
    assert edit(files, tmp_path / "edited", *more) == 0
    said = json.loads(report.read_text())
    assert said["text"]["settings"]["key_frames"] == 1 and said["text"]["settings"]["faithful"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([], "--attribute, --text or --shift"),
        (["--text-scale", "2", "--attribute", "Eyeglasses"], "--text-scale"),
        ([*FEW, "--attribute", "Eyeglasses"], "--text-iterations"),
        (["--clip", "ViT-B-16", "x.pt", "--attribute", "Eyeglasses"], "--clip"),
        (["--save-shift", "x.safetensors", "--attribute", "Eyeglasses"], "--save-shift"),
        ([*TEXT, "--scale", "2"], "--text-scale"),
        (["--text", "face", " ", "tiny clip"], "two texts"),
        ([*TEXT, "--clip", "ViT-Q-99", "x.pt"], "ViT-Q-99"),
        (["--shift", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--shift", "clip"], "clip"),
        (["--shift", "else.safetensors", "--text-scale", "nan"], "finite"),
        (["--shift", "else.safetensors", "tiny model"], "demo"),
        ([*TEXT, "tiny model"], "dva models get openclip-vit-b-16-openai"),
        ([*TEXT, "tiny clip", "--save-shift", "tiny.safetensors/kept.safetensors"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_before_the_work(
    files, tmp_path, capsys, monkeypatch, more, complaint
):
    monkeypatch.chdir(files)
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path))
    model = "demo"
    if "tiny model" in more:
        model = str(files / "tiny.safetensors")
        more = [each for each in more if each != "tiny model"]
    if "tiny clip" in more:
        more = [part for each in more for part in (tiny_clip(files) if each == "tiny clip" else [each])]
    assert edit(files, tmp_path / "edited", *more, model=model) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 1 and complaints[0].startswith("dva: ") and complaint in complaints[0]
    assert not (tmp_path / "edited").exists()
