"""What the reports look like on disk and on the screen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dva_core.evaluation.report import comparison_frames, contact_sheet, table, target_table, write_report
from dva_core.evaluation.targets import HOW, check_targets


def test_a_report_is_json_and_replaces_the_one_before(tmp_path):
    path = tmp_path / "new" / "report.json"
    write_report({"ssim": 0.5}, path)
    write_report({"ssim": 0.9, "missing": None}, path)
    assert json.loads(path.read_text()) == {"ssim": 0.9, "missing": None}
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_a_report_that_is_no_json_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    write_report({"ssim": 0.5}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_report({"psnr": float("inf")}, path)
    assert json.loads(path.read_text()) == {"ssim": 0.5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_the_contact_sheet_shows_every_picture_under_its_frame():
    shades = {"source": 40, "Eyeglasses": 80, "a beard": 160}
    rows = {name: np.stack([np.full((24, 32, 3), v + t, np.uint8) for t in range(2)]) for name, v in shades.items()}
    sheet = np.asarray(contact_sheet(rows, ["frame 0", "frame 9"]))
    for value in shades.values():
        for t in range(2):
            ys, xs = np.nonzero((sheet == value + t).all(axis=-1))
            assert np.ptp(ys) >= 23 and np.ptp(xs) >= 31
    assert (sheet[:, :100] > 200).any(), "rows are labelled"
    assert (sheet[:20, 140:] > 200).any(), "columns are labelled"


def test_comparison_puts_source_edit_and_difference_side_by_side():
    before = np.full((16, 40, 3), 100, np.uint8)
    after = before.copy()
    after[:, 10:20] = 90
    (frame,) = comparison_frames([before], [after])
    pictures = frame[-16:]
    assert frame.shape[1] == 120
    assert (pictures[:, :40] == before).all() and (pictures[:, 40:80] == after).all()
    assert (pictures[:, 90:100] == 30).all(), "a difference of 10 shown three times as strong"
    assert (pictures[:, 80:90] == 0).all()


def test_comparison_refuses_clips_of_different_length():
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="shorter"):
        list(comparison_frames([frame, frame], [frame]))


def test_tables_line_up():
    lines = table([("SSIM", 0.98765), ("seconds, decode", 12.34), ("frames", 64), ("TL-ID", None)]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[-1] for line in lines] == ["0.9877", "12.3", "64", "-"]


def test_targets_say_met_missed_and_not_measured():
    report = {
        "reconstruction": {"ddim": {"100": {"ssim": 0.99}, "20": {"ssim": 0.7}}},
        "temporal": {"tl_id": 1.05, "tg_id": 1.0},
        "edits": {"Eyeglasses": {"success_on": None}},
    }
    checked = check_targets(report)
    met = {path: entry["met"] for path, entry in checked["targets"].items()}
    assert met["reconstruction.ddim.100.ssim"] is True
    assert met["reconstruction.ddim.20.ssim"] is False
    assert met["temporal.tl_id"] is False and met["temporal.tg_id"] is True
    assert met["edits.Eyeglasses.success_on"] is None
    assert checked["met"] is False
    shown = {line.split()[0]: line for line in target_table(checked).splitlines()}
    assert "MISSED" in shown["reconstruction.ddim.20.ssim"]
    assert "not measured" in shown["edits.Eyeglasses.success_on"]


def test_every_part_of_the_report_says_how_it_was_made():
    parts = {path.split(".")[0] for path in check_targets({})["targets"]}
    assert parts <= set(HOW)
