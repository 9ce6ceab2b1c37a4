"""`dva demo` on a clip of a few frames."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import islice

from dva_core import load_model, showcase, video
from dva_core.evaluation.judges import load_judges


def test_the_demo_writes_its_videos_sheet_and_report(tmp_path, monkeypatch):
    few = tmp_path / "few.mp4"
    video.write_video(few, islice(video.read_frames(showcase.DEMO_CLIP), 6), Fraction(25))
    monkeypatch.setattr(showcase, "DEMO_CLIP", few)
    out = tmp_path / "out"
    report = showcase.run(load_model("demo"), load_judges(), out, steps=5)
    assert {path.name for path in out.iterdir()} == {"edited.mp4", "comparison.mp4", "sheet.png", "report.json"}
    assert report == json.loads((out / "report.json").read_text())
    assert report["reconstruction"]["mse"] < 1e-9 and report["frames"] == 6
    assert dict(showcase.table_rows(report))["reconstruction SSIM"] > 0.9999
