"""The command `dva sweep`, as somebody in a terminal meets it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dva_core import video
from dva_core.cli import main
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip

from .video_files import codec_of_sound, make_file

FRAMES = 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A face that talks for 3 frames, with sound."""
    path = tmp_path_factory.mktemp("clip") / "talk.mp4"
    frames = render_clip(HELD_OUT_SEEDS[3], frames=FRAMES, height=96, width=96).frames
    make_file(path, list(frames), Fraction(24), sound=np.zeros((1, 6000), np.float32))
    return path


def sweep(source: Path, *more: str) -> list[str]:
    return ["sweep", str(source), "--device", "cpu", "--steps", "2", *more]


def test_a_sweep_writes_a_picture_a_clip_for_each_scale_and_a_report(clip, tmp_path, capsys):
    more = ["--attribute", "Eyeglasses", "--scales", "-1..1:3", "--frames", "2", "--out", str(tmp_path / "tried")]
    assert main(sweep(clip, *more)) == 0
    names = [f"Eyeglasses_{scale}.mp4" for scale in ("-1", "+0", "+1")]
    assert {path.name for path in (tmp_path / "tried").iterdir()} == {"grid.png", "report.json", *names}
    for name in names:
        assert video.probe(tmp_path / "tried" / name).frame_rate == 24
        assert len(list(video.read_frames(tmp_path / "tried" / name))) == FRAMES
        assert codec_of_sound(tmp_path / "tried" / name)
    said = json.loads((tmp_path / "tried" / "report.json").read_text())
    assert [(edit["attribute"], edit["scale"], edit["clip"]) for edit in said["edits"]] == [
        ("Eyeglasses", scale, name) for scale, name in zip((-1, 0, 1), names, strict=True)
    ]
    assert said["frames_shown"] == [0, 2]
    assert (said["edits"][1]["tl_id"], said["edits"][1]["tg_id"]) == (1, 1)
    assert set(said["seconds"]) == {"find face", "encode and invert", "decode Eyeglasses", "write Eyeglasses"}
    assert "grid.png" in capsys.readouterr().out


def test_without_clips_only_the_frames_of_the_picture_are_inverted(clip, tmp_path, capsys):
    more = ["--attribute", "Eyeglasses", "--scales", "0..1:2", "--frames", "2", "--no-clips", "--out", str(tmp_path)]
    assert main(sweep(clip, *more)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "report.json"}
    assert "6/6" in capsys.readouterr().err  # two frames, two steps and one more


@pytest.mark.parametrize("name", ["grid.png", "report.json", "Eyeglasses_+1.mp4"])
def test_what_an_earlier_sweep_left_is_replaced_only_when_asked_for(clip, tmp_path, capsys, name):
    more = ["--attribute", "Eyeglasses", "--scales", "0..1:2", "--frames", "1", "--out", str(tmp_path)]
    (tmp_path / name).write_bytes(b"mine")
    assert main(sweep(clip, *more)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
    assert main(sweep(clip, *more, "--overwrite")) == 0
    assert (tmp_path / name).read_bytes() != b"mine"


def test_the_row_of_scale_0_is_the_row_of_the_source(clip, tmp_path):
    more = ["--attribute", "Eyeglasses", "--scales", "0..1:2", "--frames", "2", "--no-clips", "--out", str(tmp_path)]
    assert main(sweep(clip, *more)) == 0
    source, nothing, everything = rows_of_pictures(tmp_path / "grid.png", 3)
    assert np.array_equal(source, nothing) and not np.array_equal(source, everything)


def test_several_attributes_are_tried_one_by_one_in_one_picture(clip, tmp_path):
    more = ["--attribute", "Eyeglasses", "--attribute", "No_Beard", "--scales", "0.5..1:2", "--frames", "1"]
    assert main(sweep(clip, *more, "--no-clips", "--out", str(tmp_path))) == 0
    said = json.loads((tmp_path / "report.json").read_text())
    tried = [(edit["attribute"], edit["scale"]) for edit in said["edits"]]
    assert tried == [("Eyeglasses", 0.5), ("Eyeglasses", 1), ("No_Beard", 0.5), ("No_Beard", 1)]
    rows = rows_of_pictures(tmp_path / "grid.png", 5)
    assert len({row.tobytes() for row in rows}) == 5


def test_the_folder_is_named_after_the_source(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--attribute", "Eyeglasses", "--scales", "0..1:2", "--frames", "1", "--no-clips"]
    assert main(sweep(clip, *more)) == 0
    assert (tmp_path / "talk-sweep" / "grid.png").exists()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--attribute", "Eyeglasses", "--scales", "many"], "'many' is no range of scales"),
        (["--attribute", "Eyeglasses", "--scales", "-1..1"], "FROM..TO:COUNT"),
        (["--attribute", "Eyeglasses", "--scales", "-1..1:1"], "at least 2"),
        (["--attribute", "Smiling"], "Smiling"),
        (["--attribute", "Eyeglasses", "--preserve", "Eyeglasses"], "preserved"),
        (["--attribute", "Eyeglasses", "--steps", "37"], "37"),
        (["--attribute", "Eyeglasses", "--detector", "facexlib", "--points", "1,2"], "exclude each other"),
    ],
)
def test_wrong_requests_get_one_sentence_and_exit_code_2(clip, tmp_path, capsys, more, complaint):
    assert main(sweep(clip, "--out", str(tmp_path / "tried"), *more)) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 1 and complaints[0].startswith("dva: ") and complaint in complaints[0]
    assert list(tmp_path.iterdir()) == []


def rows_of_pictures(path: Path, count: int) -> list[np.ndarray]:
    """The rows of a sheet without labels and captions; its rows are of one height, at the bottom."""
    sheet = np.asarray(Image.open(path))[:, 140:]
    height = 208 + 4
    return [sheet[len(sheet) - (count - row) * height :][:208] for row in range(count)]
