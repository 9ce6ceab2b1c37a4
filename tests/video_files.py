"""Small real video files, made by PyAV directly."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

NTSC = Fraction(30000, 1001)
SOUND_RATE = 48000


def moving_square(count: int = 12, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A bright square that goes right by two pixels a frame, over a smooth background."""
    y, x = np.mgrid[:height, :width]
    background = np.stack([60 + x, 80 + y, 120 + 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
    frames = []
    for n in range(count):
        frame = background.copy()
        frame[8:24, 4 + 2 * n : 20 + 2 * n] = (230, 200, 60)
        frames.append(frame)
    return frames


def click(seconds: float, at: float) -> np.ndarray:
    """Silence with 50 ms of a loud tone: float32 [1,samples]."""
    t = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (np.sin(2 * np.pi * 1000 * t) * ((t >= at) & (t < at + 0.05)) * 0.8).astype(np.float32)[None]


def make_file(
    path: Path,
    frames: list[np.ndarray],
    rate: Fraction = NTSC,
    sound: np.ndarray | None = None,
    sound_codec: str = "aac",
    stamps: list[int] | None = None,
    **options: str,
) -> Path:
    """Frames and sound by PyAV directly; stamps, in ticks of 1/1000 s, make the frame rate vary."""
    with av.open(str(path), "w", options=options) as output:
        video = output.add_stream("libx264", rate=rate, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        tick = 1 / rate
        if stamps:
            tick = video.codec_context.time_base = Fraction(1, 1000)
        audio = output.add_stream(sound_codec, rate=SOUND_RATE, layout="mono") if sound is not None else None
        for n, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = (stamps[n] if stamps else n), tick
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            output.mux(audio.encode(samples))
            output.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[np.ndarray, float]:
    """The sound of a file on a clock that starts with its first frame, and the time when it first gets loud."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        origin = float((video.start_time or 0) * video.time_base)
        pieces = [(frame.time - origin, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    start = pieces[0][0]
    samples = np.concatenate([piece for _, piece in pieces])
    return samples, start + np.argmax(np.abs(samples) > 0.1) / SOUND_RATE


def codec_of_sound(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


def clicking_clip(folder: Path) -> Path:
    """Twelve frames with a click at 0.2 seconds."""
    return make_file(folder / "clip.mp4", moving_square(), sound=click(0.45, at=0.2))
