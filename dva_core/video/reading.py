"""Frames out of anything that FFmpeg reads, upright and at a constant rate."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from einops import rearrange

from ..errors import DvaError
from . import pictures

DEFAULT_RATE = Fraction(25)
# SWS_BILINEAR with chroma interpolated in full, not blocky as by default. Without accurate rounding a picture that is
# read would be darker by a grey level; one that is written keeps its greys, and its colours change by a tenth of a
# level on average, in less time.
SMOOTH_SCALING = 0x2 | 0x2000
_CAREFUL_SCALING = SMOOTH_SCALING | 0x40000
# Formats whose header tells how long they last, so that a missing end shows; it may be this many seconds early.
_TELL_THEIR_LENGTH = ("mp4", "matroska")
_EARLY = 0.25
# FFmpeg's numbers for "no colour matrix given" and for levels 0..255.
_UNTAGGED = 2
_FULL_RANGE = 2


@dataclass(frozen=True)
class VideoInfo:
    """What a video is: size in pixels as shown (upright, pixels square) and frames per second.

    frames and duration (seconds) are what the file claims, None where it claims nothing; other containers than mp4
    may be some frames off. rotation: degrees clockwise from the stored picture to the upright one, 0, 90, 180 or 270.
    """

    width: int
    height: int
    frame_rate: Fraction
    frames: int | None
    rotation: int
    has_audio: bool
    duration: float | None


def probe(path: str | Path) -> VideoInfo:
    """Looks at the header and the first frame. A folder of pictures has 25 frames per second and no sound.

    Raises DvaError when there is no such file, or no video in it that can be read.
    """
    path = existing(path)
    if path.is_dir():
        files = pictures.files_in(path)
        height, width = pictures.read(files[0]).shape[:2]
        return VideoInfo(width, height, DEFAULT_RATE, len(files), 0, False, float(len(files) / DEFAULT_RATE))
    with reading(path), av.open(str(path)) as container:
        stream = video_stream(container, path)
        first = next(_decoded(container, stream, path))
        height, width = _upright(first, stream, _turns_and_mirror(first)).shape[:2]
        rate, duration = _constant_rate(stream), _duration(container, stream)
        frames = stream.frames or (round(duration * rate) if duration else None)
        rotation = _turns_and_mirror(first)[0] * 90
        return VideoInfo(width, height, rate, frames, rotation, bool(container.streams.audio), duration)


def read_frames(path: str | Path) -> Iterator[np.ndarray]:
    """The frames of a video file or of a folder's pictures, uint8 [H,W,3] RGB, upright, one at a time.

    Frame n is the one seen at n / frame_rate of `probe`, to half a frame: where a file's own rate varies, frames are
    repeated or left out, so that the sound stays in step. Pictures come in natural order (2 before 10) and must be of
    one size. Raises DvaError when there is no such file, and on reaching a part that is damaged or missing.
    """
    path = existing(path)
    return pictures.read_all(path) if path.is_dir() else _read_file(path)


def files_of(path: str | Path) -> list[Path]:
    """The file, or those of a folder's pictures in their order; DvaError when there is no such file or folder."""
    path = existing(path)
    return pictures.files_in(path) if path.is_dir() else [path]


def existing(path: str | Path) -> Path:
    """The path of a file or folder; DvaError when there is none."""
    path = Path(path)
    if not path.exists():
        raise DvaError(f"There is no file or folder {path}.")
    return path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What FFmpeg complains about while it reads `path` becomes a DvaError."""
    try:
        yield
    except av.FFmpegError as error:
        raise DvaError(
            f"{path} cannot be read as video: it is empty, damaged, cut off or something else ({error.strerror})."
        ) from error


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first video stream that is not the cover picture of a sound file, set to decode on all cores."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise DvaError(f"{path} has no video in it, only {kinds}.")


def _read_file(path: Path) -> Iterator[np.ndarray]:
    with reading(path), av.open(str(path)) as container:
        stream = video_stream(container, path)
        rate, turns = _constant_rate(stream), None
        for frame, times in _timed(_decoded(container, stream, path), rate, counted=container.format.name == "avi"):
            # Asked of the first frame alone: a frame that was asked lives on until garbage is collected, and many large
            # ones would fill the memory.
            turns = _turns_and_mirror(frame) if turns is None else turns
            if times > 0:
                picture = _upright(frame, stream, turns)
                yield picture
                for _ in range(times - 1):
                    yield picture.copy()


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path
) -> Iterator[av.VideoFrame]:
    """Every frame as stored; DvaError where the file turns out to be cut off or empty."""
    tells = any(name in container.format.name for name in _TELL_THEIR_LENGTH) and container.duration is not None
    end, count = 0.0, 0
    for packet in container.demux():
        if tells and packet.is_corrupt:
            raise DvaError(f"{path} is cut off after {end:.2f} seconds; get a whole copy of it.")
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream is stream:
            for frame in packet.decode():
                count += 1
                yield frame
    if count == 0:
        raise DvaError(f"{path} has no frames in it.")
    if tells and end < container.duration / av.time_base - _EARLY:
        length = container.duration / av.time_base
        raise DvaError(f"{path} is cut off: it should last {length:.2f} seconds but ends after {end:.2f}.")


def _timed(
    frames: Iterator[av.VideoFrame], rate: Fraction, counted: bool
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Each frame with how often it is shown at the constant rate. `counted`: the file has no usable time stamps."""
    held, start, due = None, None, 0
    for frame in frames:
        if held is None:
            held, start = frame, frame.pts
            continue
        index = due + 1
        if not counted and start is not None and frame.pts is not None:
            index = max(due, math.floor((frame.pts - start) * frame.time_base * rate + Fraction(1, 2)))
        yield held, index - due
        held, due = frame, index
    # The last picture of a slide show stands as long as it says.
    stands = round((held.duration or 0) * held.time_base * rate) if held.time_base and not counted else 1
    yield held, max(1, stands)


def _constant_rate(stream: av.VideoStream) -> Fraction:
    """The average rate, or the container's nominal one where the average is odd and hardly differs from it."""
    average, nominal = stream.average_rate, stream.base_rate
    if not average:
        return Fraction(stream.guessed_rate or DEFAULT_RATE)
    odd = average.denominator not in (1, 1001)
    return Fraction(nominal if odd and nominal and abs(nominal / average - 1) < Fraction(1, 100) else average)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _upright(frame: av.VideoFrame, stream: av.VideoStream, turns_and_mirror: tuple[int, bool]) -> np.ndarray:
    """RGB [H,W,3] as it is to be seen: colours by the file's own matrix and range, pixels square, turned."""
    is_rgb = frame.format.is_rgb
    matrix = frame.colorspace
    if frame.colorspace == _UNTAGGED and not is_rgb:
        matrix = "ITU709" if frame.height >= 720 else "ITU601"  # what players take for granted
    full_range = is_rgb or frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    aspect = stream.sample_aspect_ratio or 1
    shown = frame.reformat(
        width=round(frame.width * aspect),
        # Planes take half the time of interleaved colours. From RGB of 16 bits, though, they would come out too dark.
        format="rgb24" if is_rgb else "gbrp",
        src_colorspace=matrix,
        # PyAV before 17 forgets the matrix when both ranges are the same; RGB is full range anyway.
        src_color_range="JPEG" if full_range else "MPEG",
        dst_color_range=None if full_range else "JPEG",
        interpolation=_CAREFUL_SCALING,
    )
    turns, mirror = turns_and_mirror
    picture = shown.to_ndarray() if is_rgb else _interleaved(shown)
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if mirror else picture, -turns))


def _interleaved(frame: av.VideoFrame) -> np.ndarray:
    """The three planes of a frame in gbrp as [H,W,3] RGB."""
    green, blue, red = (
        rearrange(np.frombuffer(plane, np.uint8), "(h line) -> h line", h=plane.height) for plane in frame.planes
    )
    return np.stack([red, green, blue], axis=-1)[:, : frame.width]  # lines in memory may be longer


def _turns_and_mirror(frame: av.VideoFrame) -> tuple[int, bool]:
    """Quarter turns clockwise, 0 to 3, to show a frame upright, and whether it is mirrored left to right before."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = struct.unpack("=9i", bytes(data))[:5]  # x' = a x + c y, y' = b x + d y
    mirror = a * d - b * c < 0
    if mirror:
        a, b = -a, -b
    return round(math.atan2(b, a) / (math.pi / 2)) % 4, mirror
