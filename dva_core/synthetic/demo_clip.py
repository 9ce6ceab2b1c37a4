"""Makes the shipped demo clips: a held-out person who talks, with a voice that follows the mouth, and quite another.

`python -m dva_core.synthetic.demo_clip DEMO.mp4 SECOND.mp4` writes them again.
"""

from __future__ import annotations

import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..video import write_video
from .person import HELD_OUT_SEEDS
from .render import render_clip

PERSON = HELD_OUT_SEEDS[55]
FRAMES, FRAME_RATE = 64, Fraction(25)
SECOND_PERSON, SECOND_FRAMES = HELD_OUT_SEEDS[551], 24
HEIGHT, WIDTH = 192, 320
SAMPLE_RATE = 44_100


def write_demo_clip(path: Path) -> None:
    """Renders the clip and writes it as H.264 with sound."""
    clip = render_clip(PERSON, FRAMES, HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.wav"
        _write_voice(sound, clip.motion.mouth_open)
        write_video(path, clip.frames, FRAME_RATE, audio_from=sound)


def write_second_clip(path: Path) -> None:
    """Renders a shorter clip of an older man with blond hair and a beard, without sound."""
    write_video(path, render_clip(SECOND_PERSON, SECOND_FRAMES, HEIGHT, WIDTH).frames, FRAME_RATE)


def _write_voice(path: Path, mouth_open: np.ndarray) -> None:
    """A hum on a gliding pitch, as loud as the mouth is open: enough to hear whether picture and sound are in step."""
    seconds = np.arange(int(len(mouth_open) / FRAME_RATE * SAMPLE_RATE)) / SAMPLE_RATE
    loudness = 0.05 + np.interp(seconds * float(FRAME_RATE), np.arange(len(mouth_open)), mouth_open)
    pitch = 150 * (1 + 0.08 * np.sin(2 * np.pi * 0.7 * seconds))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    hum = sum(np.sin(k * phase) / k**1.5 for k in range(1, 7))
    samples = np.int16(np.clip(0.25 * loudness * hum, -1, 1) * 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    write_demo_clip(Path(sys.argv[1]))
    write_second_clip(Path(sys.argv[2]))
