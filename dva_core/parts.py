"""A video on its way through the method, some frames at a time: read and cropped at one end, pasted and written at the
other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import video
from .faces.alignment import crop_track
from .faces.masks import STEADY_REACH, steadied
from .faces.pasting import paste_faces
from .footage import FRAMES_AT_ONCE, frames_with_track, track_part
from .overlap import ahead
from .progress import spent
from .values import FaceTrack

# Stages that go on side by side, as parts of one that is told before.
CROP, WRITE = "of that: crop", "of that: paste and write"


@dataclass(frozen=True, eq=False)
class Part:
    """Some frames in a row, uint8 [n,H,W,3], with their track and the crops [v,3,S,S] of those with a face.

    Once they are known, `edited` are the crops after the edit, and `mask` [v,1,S,S] in 0..1 is where they may change.
    """

    frames: np.ndarray
    track: FaceTrack
    crops: Tensor
    edited: Tensor | None = None
    mask: Tensor | None = None


def cropped_parts(
    source: str | Path, track: FaceTrack, size: int, seconds: dict[str, float] | None = None,
    at_once: int = FRAMES_AT_ONCE,
) -> Generator[Part, None, None]:  # fmt: skip
    """The parts of a video in order, each but the last of `at_once` frames, with crops of `size` pixels.

    `seconds` gets the time that it takes. Raises DvaError when the track is that of another video.
    """
    seconds = {} if seconds is None else seconds
    frames_of_track = frames_with_track(source, track, at_once)
    while True:
        with spent(seconds, CROP):
            read = next(frames_of_track, None)
            part = None if read is None else Part(*read, crop_track(*read, size))
        if part is None:
            return
        yield part
        del read, part  # not to be held while the next ones are read


def write_parts(
    target: str | Path, frame_rate: Fraction, source: str | Path, unfinished_in: Path,
    placing: Callable[[Path], None], seconds: dict[str, float], parts: Iterator[Part],
) -> None:  # fmt: skip
    """Writes the source's video with the edited crops of all its parts pasted in, and its sound.

    The masks are smoothed over time as `steadied` does it for the whole clip. `unfinished_in` and `placing` as in
    `video.write_video`, which says what is raised. `seconds` gets the time that it takes, but for that in which pasting
    waits for parts.
    """
    waited: dict[str, float] = {}
    with spent(seconds, WRITE), ahead(_pasted(_steadied(_waited_for(parts, waited)))) as frames:
        video.write_video(target, frames, frame_rate, audio_from=source, unfinished_in=unfinished_in, placing=placing)
    seconds[WRITE] -= waited[WRITE]


def frames_of_a_part(batch_size: int) -> int:
    """How many frames the parts hold that are edited: enough to fill a batch."""
    return max(FRAMES_AT_ONCE, batch_size)


def _pasted(parts: Iterator[Part]) -> Iterator[np.ndarray]:
    """Frame by frame, so that no more than one is held twice."""
    for part in parts:
        row = 0
        for n, valid in enumerate(part.track.valid):
            if not valid:
                yield part.frames[n]
                continue
            here, rows = slice(n, n + 1), slice(row, row + 1)
            yield paste_faces(
                part.frames[here], part.edited[rows], track_part(part.track, here), part.mask[rows],
                source_crops=part.crops[rows],
            )[0]  # fmt: skip
            row += 1
        del part  # not to be held while the next one is waited for


def _steadied(parts: Iterator[Part]) -> Iterator[Part]:
    """The parts with masks smoothed over time; each waits for the next, whose first masks its last ones depend on."""
    now = next(parts, None)
    if now is None:
        return
    before = now.mask[:0], now.track.valid[:0]  # the masks and valid frames just before
    while now is not None:
        after = next(parts, None)
        known = [before, (now.mask, now.track.valid)] + ([] if after is None else [_first(after)])
        masks, valid = torch.cat([mask for mask, _ in known]), np.concatenate([valid for _, valid in known])
        rows = slice(len(before[0]), len(before[0]) + len(now.mask))
        steady = replace(now, mask=steadied(masks, valid)[rows])
        before, now = _last(*known[:2]), after
        yield steady
        del steady, after, known  # not to be held while the next one is waited for


def _first(part: Part) -> tuple[Tensor, np.ndarray]:
    """The masks of a part's first frames, as many as masks before depend on, and which of these frames are valid."""
    valid = part.track.valid[:STEADY_REACH]
    return part.mask[: valid.sum()], valid


def _last(*known: tuple[Tensor, np.ndarray]) -> tuple[Tensor, np.ndarray]:
    """The same of the last frames of some in a row."""
    masks, valid = torch.cat([mask for mask, _ in known]), np.concatenate([valid for _, valid in known])
    valid = valid[-STEADY_REACH:]
    return masks[len(masks) - valid.sum() :], valid


def _waited_for(parts: Iterator[Part], seconds: dict[str, float]) -> Iterator[Part]:
    """The same parts; `seconds` gets the time until they come."""
    while True:
        with spent(seconds, WRITE):
            part = next(parts, None)
        if part is None:
            return
        yield part
        del part  # not to be held while the next one is waited for
