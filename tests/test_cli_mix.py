"""The command `dva mix`, as somebody in a terminal meets it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dva_core import video
from dva_core.cli import main
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Path, Path]:
    """Two people: four frames at 24 a second, and six larger ones at 12."""
    folder = tmp_path_factory.mktemp("clips")
    first, second = folder / "first.mp4", folder / "second.mp4"
    video.write_video(first, render_clip(HELD_OUT_SEEDS[3], frames=4, height=96, width=96).frames, Fraction(24))
    video.write_video(second, render_clip(HELD_OUT_SEEDS[7], frames=6, height=112, width=128).frames, Fraction(12))
    return first, second


def mix(first: Path, second: Path, target: Path, *more: str) -> list[str]:
    return ["mix", str(first), str(second), str(target), "--device", "cpu", "--steps", "4", *more]


def pictures(path: Path) -> np.ndarray:
    return np.stack(list(video.read_frames(path))).astype(int)


def said(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("more", [["--identity"], ["--identity", "0.4"], ["--motion"], ["--motion", "--identity", "1"]])
def test_somebody_else_in_the_video_of_the_first(clips, tmp_path, capsys, more):
    target, report = tmp_path / "mixed.mp4", tmp_path / "report.json"
    assert main(mix(*clips, target, *more, "--json", str(report))) == 0
    info = video.probe(target)
    assert (info.frames, info.height, info.width, info.frame_rate) == (4, 96, 96, 24)
    assert (said(report)["motion"], said(report)["background"]) == ("--motion" in more, False)
    assert said(report)["identity"] == {"--identity": 1.0, "0.4": 0.4, "--motion": 0.0, "1": 1.0}[more[-1]]
    assert abs(pictures(target) - pictures(clips[0])).max() > 40
    assert str(target) in capsys.readouterr().out


def test_the_background_brings_the_seconds_frames(clips, tmp_path):
    target = tmp_path / "mixed.mp4"
    assert main(mix(*clips, target, "--background")) == 0
    info = video.probe(target)
    assert (info.frames, info.height, info.width, info.frame_rate) == (6, 112, 128, 12)
    corner = np.s_[:, :12, :12]
    assert abs(pictures(target)[corner] - pictures(clips[1])[corner]).max() < 16


def test_all_of_the_second_is_the_second(clips, tmp_path):
    target = tmp_path / "mixed.mp4"
    assert main(mix(*clips, target, "--identity", "--motion", "--background")) == 0
    assert abs(pictures(target) - pictures(clips[1])).mean() < 2


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([], "--motion"),
        (["--motion", "--steps", "37"], "37"),
        (["--motion", "--model", "nobody"], "nobody"),
        (["--motion", "--json", "/dev/null/report.json"], "/dev/null"),
    ],
)
def test_wrong_requests_get_one_sentence_and_exit_code_2(clips, tmp_path, capsys, more, complaint):
    assert main(mix(*clips, tmp_path / "mixed.mp4", *more)) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 1 and complaints[0].startswith("dva: ") and complaint in complaints[0]
    assert list(tmp_path.iterdir()) == []


def test_neither_input_is_overwritten(clips, capsys):
    for target in clips:
        before = target.read_bytes()
        assert main(mix(*clips, target, "--motion")) == 2
        assert "input itself" in capsys.readouterr().err and target.read_bytes() == before


def test_a_video_that_is_there_is_replaced_only_when_asked_for(clips, tmp_path, capsys):
    target = tmp_path / "mixed.mp4"
    target.write_bytes(b"mine")
    assert main(mix(*clips, target, "--motion")) == 2
    assert "--overwrite" in capsys.readouterr().err and target.read_bytes() == b"mine"
    assert main(mix(*clips, target, "--motion", "--overwrite")) == 0
    assert video.probe(target).frames == 4


def test_a_film_without_a_face_is_told_by_name(clips, tmp_path, capsys):
    empty = tmp_path / "wall.mp4"
    video.write_video(empty, [np.full((64, 64, 3), 90, np.uint8)] * 3, Fraction(25))
    assert main(mix(clips[0], empty, tmp_path / "mixed.mp4", "--motion")) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert "wall.mp4" in complaint and "No face" in complaint


@pytest.mark.parametrize("amount", ["2", "-0.1", "much"])
def test_an_amount_beyond_all_or_nothing_is_refused(clips, tmp_path, capsys, amount):
    with pytest.raises(SystemExit) as left:
        main(mix(*clips, tmp_path / "mixed.mp4", f"--identity={amount}"))
    assert left.value.code == 2 and "from 0 to 1" in capsys.readouterr().err
