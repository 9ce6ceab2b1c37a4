"""What the workflow for real footage lacks on a machine where nobody has fetched anything: a clip, and weights.

And what is in the videos that come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from dva_core import video
from dva_core.showcase import ASSETS

from .video_files import click, make_file

YOUR_VIDEO = "your video.mp4"
"""The file that the workflow names in Load Video, for its user to replace."""


def write_your_video(folder: Path, frames: int) -> Path:
    """The first frames of the shipped clip, with a click, as that file in the folder."""
    pictures = [*islice(video.read_frames(ASSETS / "demo.mp4"), frames)]
    sound = click(frames / 25, at=0.02)
    return make_file(folder / YOUR_VIDEO, pictures, Fraction(25), sound)


def with_shipped_weights(api: dict[str, dict]) -> dict[str, dict]:
    """The graph with the demo model in the place of any other, whose own detector serves instead of a connected one."""
    demo = {"DVA_LoadModel": {"model": "demo (built in)"}}
    changed = {}
    for name, node in api.items():
        inputs = {key: value for key, value in node["inputs"].items() if key != "detector"}
        if node["class_type"] != "DVA_LoadFaceDetector":
            changed[name] = {**node, "inputs": inputs | demo.get(node["class_type"], {})}
    return changed


def hide_fetched_weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Whatever weights this machine has, none are found but those in the host's own models folder."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("DVA_MODELS", str(folder / "models"))


@dataclass(frozen=True)
class Video:
    """What is in a video file; `sound` is None or [channels,samples]."""

    frames: int
    size: tuple[int, int]
    rate: Fraction
    sound: np.ndarray | None
    sound_rate: int


def watch(path: Path) -> Video:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [(frame.width, frame.height) for frame in file.decode(stream)]
        rate = stream.average_rate
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return Video(len(frames), frames[0], rate, None, 0)
        sounds = file.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        parts = [part.to_ndarray() for frame in file.decode(sounds) for part in resampler.resample(frame)]
        return Video(len(frames), frames[0], rate, np.concatenate(parts, axis=1), sounds.rate)
