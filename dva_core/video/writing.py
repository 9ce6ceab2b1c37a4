"""Frames into an H.264 file that every player shows right, with the sound of another file; or into pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from ..errors import DvaError
from ..files import check_writable
from ..settling import settle, settle_name
from . import pictures, sound
from .reading import SMOOTH_SCALING, existing

# No loss that shows; slower presets make files a fifth smaller and no better. Without mbtree files are up to a quarter
# larger, but the same frames make the same bytes: with it, x264 165 takes account of memory that nobody has written to,
# on processors with AVX-512 and for widths that are no multiple of 128.
_ENCODER = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers for the colour matrix, primaries and curve, and for levels 16..235
_FINEST_RATE = 100_100  # the largest denominator of a frame rate; mp4 counts time in its numerator


def check_output(path: str | Path, source: str | Path | None = None) -> None:
    """Raises DvaError when `write_video` could not write there, to be told before hours of work and not after."""
    path = Path(path)
    if source is not None and path.exists() and os.path.samefile(path, existing(source)):
        raise DvaError(f"The output {path} is the input itself; give another name.")
    if path.is_dir():
        if any(path.iterdir()):
            raise DvaError(f"The folder {path} already has something in it; give an empty one or a new name.")
    elif path.suffix.lower() not in ("", ".mp4"):
        raise DvaError(f"{path} cannot be written; give a name that ends in .mp4, or one without ending for pictures.")
    elif path.exists() and path.suffix == "":
        raise DvaError(f"{path} is a file, but pictures need a folder; give another name, or one that ends in .mp4.")
    check_writable(path)


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], frame_rate: Fraction, audio_from: str | Path | None = None,
    unfinished_in: Path | None = None, placing: Callable[[Path], None] = lambda whole: None,
) -> None:  # fmt: skip
    """Writes frames uint8 [H,W,3] RGB as H.264 mp4 (yuv420p, BT.709 in limited range), or as PNGs into a folder.

    A path without ending, or an empty folder, gets the PNGs. mp4 needs even sides: an odd one gets its last row or
    column twice. The first sound track of `audio_from` comes along, in step with its first frame and cut where the
    frames end: as it is where mp4 may hold it, else as AAC. The file appears whole or not at all, whatever happens;
    until then it lies beside `path`, or in the folder `unfinished_in` on the same disk, under a hidden name, which
    `placing` is told when all is whole and on the disk, just before it is renamed.
    Raises DvaError when the path cannot be written, `frames` is empty or their sizes differ, or the sound is damaged.
    """
    path = Path(path)
    check_output(path, audio_from)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise DvaError(f"There are no frames to write to {path}.")
    frames = _of_one_size(chain([first], frames), first.shape)
    unfinished = (unfinished_in or path.parent) / f".{path.stem}.{os.getpid()}.part{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or not path.suffix:
            pictures.write_all(unfinished, frames)
        else:
            _write_file(unfinished, frames, first.shape, frame_rate, audio_from)
        settle(unfinished)
        placing(unfinished)
        if path.is_dir():
            path.rmdir()
        os.replace(unfinished, path)
        settle_name(path)
    except (OSError, av.FFmpegError) as error:
        raise DvaError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.unlink(missing_ok=True)


def _write_file(
    path: Path,
    frames: Iterator[np.ndarray],
    shape: tuple[int, ...],
    frame_rate: Fraction,
    audio_from: str | Path | None,
) -> None:
    rate = Fraction(frame_rate).limit_denominator(_FINEST_RATE)
    with sound.opened(audio_from) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        stream = output.add_stream("libx264", rate=rate, options=_ENCODER)
        stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        track = sound.Track(source, output) if source else None
        for n, frame in enumerate(frames):
            output.mux(stream.encode(_encodable(frame, n, rate)))
            if track:
                output.mux(track.until((n + 1) / rate))
        output.mux(stream.encode(None))


def _encodable(frame: np.ndarray, n: int, rate: Fraction) -> av.VideoFrame:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation=SMOOTH_SCALING
    )
    picture.pts, picture.time_base = n, 1 / rate
    return picture


def _of_one_size(frames: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for n, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise DvaError(
                f"Frame {n} is {frame.dtype} {list(frame.shape)}; all must be uint8 [H,W,3] of the first one's size."
            )
        yield frame
