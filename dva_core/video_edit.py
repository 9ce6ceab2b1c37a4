"""A whole video edited, however long: its faces go through the method a few frames at a time.

The source is read three times: to find the face, to learn who it is (`findings`), and to edit. Of the whole clip only
small things are held, and frames and crops of no more than a few parts. What is finished is kept beside the target
until all of it is (`run_folder`), so that an interrupted run can go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import DEFAULT_SOLVER, DEFAULT_STEPS, find_solver
from .editing.attributes import check_edits
from .editing.text import Shifts, ShiftsOrSearches, check_shift
from .editing.timeline import Curve, strengths_over
from .encoders import FaceDetector
from .faces.masks import edit_mask
from .findings import Person, encode_once, find_face_once, find_shifts_once
from .memory import give_back
from .overlap import ahead, behind
from .parts import cropped_parts, frames_of_a_part, write_parts
from .pipeline import check_detail_in_head, decode_clip, edit_mean_identity, invert_clip
from .progress import Cancel, Progress, Watch, never, silent, spent
from .request import edit_request
from .run_folder import RunFolder, check_target, run_folder
from .values import FaceTrack, Identity, IdentityShift

EDITED = "edited"  # the stages of a run folder, with the number of the part

Resumed = Callable[[int, int], None]
"""resumed(done, total): an earlier run of the same request has edited so many of all frames."""


@dataclass(frozen=True)
class EditResult:
    """What `edit_video` found and made.

    `identity` is the edited one, a row for the clip or one for each frame with a face. `seconds` is the time that each
    stage took; the parts of the last one go on side by side. `cuts` are the frames that begin a new shot, if they were
    looked for. `shifts` are the text edits, found now or before, with their scales. `frames_resumed` is how many frames
    an interrupted run had edited before.
    """

    track: FaceTrack
    identity: Identity
    seconds: Mapping[str, float]
    cuts: tuple[int, ...]
    shifts: Shifts
    frames_resumed: int

    @property
    def frames_without_face(self) -> list[int]:
        """The frames that were passed on unchanged."""
        return np.flatnonzero(~self.track.valid).tolist()


def edit_video(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float],
    steps: int = DEFAULT_STEPS, solver: str = DEFAULT_SOLVER, *, shifts: ShiftsOrSearches = (),
    preserve: Sequence[str] = (), curve: Curve | Sequence[float] | None = None, detail_in_head: float | None = None,
    detector: FaceDetector | None = None, track: FaceTrack | None = None, batch_size: int = 8, overwrite: bool = False,
    progress: Progress = silent, cancelled: Cancel = never, resumed: Resumed = lambda done, total: None,
) -> EditResult:  # fmt: skip
    """Edits the person in a video file or folder of pictures and writes the result to `target`, sound kept.

    `edits` maps CelebA attribute names to scales: 1 puts the attribute on at full strength, -1 takes it off; with
    directions whose reach is unknown, as the published ones, 0.3 is much. `shifts` are text edits, with their scales:
    found before, or still to be found on frames spread over this clip. `preserve` names attributes that must not move.
    `curve` multiplies the scales over time: key frames, or a number for each frame of the video, with a face or
    without. `detail_in_head` as in `pipeline.decode_clip`. `detector`: the model's own when left out. With a `track`
    nobody is looked for; otherwise the largest face is followed, to the end of its shot. Frames without a face are
    passed on unchanged.
    Memory does not grow with the length of the video, but for some kilobytes a frame. Until the target is whole, what
    is done is kept in a folder beside it, for the same request to go on with; a run that does tells `resumed`.
    `overwrite`: an older target, or the unfinished run of another request, may be replaced.
    Raises DvaError for files that cannot be read or hold no face, unknown attributes, a list of another length than
    the video, and impossible `steps`, `solver` or `detail_in_head`, and Cancelled once `cancelled()` is true; `target`
    is then left as it was.
    """
    check_request(model, source, None, edits, steps, solver, preserve, shifts, detail_in_head)
    check_target(target, source, overwrite)
    request = edit_request(
        model, source, edits, steps, solver, shifts, preserve, curve, detail_in_head, detector, track, batch_size
    )
    options = {"batch_size": batch_size, "progress": progress, "cancelled": cancelled}
    seconds: dict[str, float] = {}
    with run_folder(target, request, overwrite) as run:
        goes_on = run.placed or bool(run.stages)
        with spent(seconds, "find face"):
            track, cuts = find_face_once(run, model, source, track, detector, progress, cancelled)
            strengths = None if curve is None else strengths_over(curve, len(track.valid))[track.valid]
        if goes_on:
            resumed(_frames_kept(run, len(track.valid), frames_of_a_part(batch_size)), len(track.valid))
        with spent(seconds, "encode"):
            person = encode_once(run, model, source, track, progress, cancelled)
        if shifts:
            with spent(seconds, "find text edit"):
                shifts = find_shifts_once(run, model, person, shifts, steps, solver, options)
        mean = person.identity.mean()
        identity = edit_mean_identity(model, mean, edits, shifts=shifts, preserve=preserve, strengths=strengths)
        with spent(seconds, "edit and write"):
            watch = Watch("edit", len(track.valid), progress, cancelled)
            edit = _Edit(model, person, identity, steps, solver, detail_in_head, batch_size)
            if run.placed:
                watch.reach(frames_resumed := len(track.valid))
            else:
                frames_resumed = _edit_and_write(run, edit, source, target, track, watch, seconds)
    return EditResult(track, identity, seconds, cuts, shifts, frames_resumed)


def check_request(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path | None, edits: Mapping[str, float],
    steps: int, solver: str = DEFAULT_SOLVER, preserve: Sequence[str] = (), shifts: ShiftsOrSearches = (),
    detail_in_head: float | None = None,
) -> None:  # fmt: skip
    """What would fail after minutes of work should fail now; a target of None is for `check_target` to see to."""
    check_edits(model.attributes, edits, preserve)
    for shift, scale in shifts:
        if isinstance(shift, IdentityShift):
            check_shift(shift, model.name, scale)
    find_solver(solver, steps)
    if detail_in_head is not None:
        check_detail_in_head(detail_in_head, solver)
    if target is not None:
        video.check_output(target, source)


@dataclass(frozen=True, eq=False)
class _Edit:
    """What is done to every part; `identity` has one row, or one for each of the V frames with a face."""

    model: DiffusionVideoAutoencoder
    person: Person
    identity: Identity
    steps: int
    solver: str
    detail_in_head: float | None
    batch_size: int


def _edit_and_write(
    run: RunFolder, edit: _Edit, source: str | Path, target: str | Path, track: FaceTrack, watch: Watch,
    seconds: dict[str, float],
) -> int:  # fmt: skip
    """Edits the parts that are not kept, writes all; returns how many frames were kept."""
    at_once = frames_of_a_part(edit.batch_size)
    cropped = cropped_parts(source, track, edit.model.config.image_size, seconds, at_once)
    write = partial(write_parts, target, track.frame_rate, source, run.path, run.place, seconds)
    frame = row = resumed = 0
    watch.reach(_frames_kept(run, len(track.valid), at_once))
    with ahead(cropped) as parts, behind(write) as put:
        for number, part in enumerate(parts):
            rows, frames = slice(row, row + len(part.crops)), slice(frame, frame + len(part.frames))
            kept = run.kept(_stage(number))
            if kept:
                edited, mask = kept[1]["edited"], kept[1]["mask"]
                resumed += len(part.frames)
            else:
                edited, mask = _edited(edit, part.crops, rows, frames, watch, seconds)
                run.keep(_stage(number), {}, {"edited": edited, "mask": mask})
            put(replace(part, edited=edited, mask=mask))
            watch.reach(frames.stop)
            frame, row = frames.stop, rows.stop
            del part  # not to be held while the next one is waited for
            give_back()
    return resumed


def _edited(
    edit: _Edit, crops: Tensor, rows: slice, frames: slice, watch: Watch, seconds: dict[str, float]
) -> tuple[Tensor, Tensor]:
    """Crops [v,3,S,S] after the edit, and where they may change, [v,1,S,S] in 0..1.

    They are `rows` of all crops and in `frames` of the video.
    """
    if len(crops) == 0:
        return crops, crops[:, :1]
    model, mean, edited = edit.model, edit.person.identity.mean(), crops.clone()
    parsing = model.parse(crops)
    parsing_edited = parsing.clone()
    features = edit.identity.features[rows] if len(edit.identity.features) > 1 else edit.identity.features
    # Where a curve is at 0, the way there and back would end where it began.
    moved = (features != mean.features).any(dim=-1).expand(len(crops)).nonzero().flatten()
    if len(moved):
        codes = edit.person.codes(torch.arange(rows.start, rows.stop)[moved])
        identity = replace(edit.identity, features=features.expand(len(crops), -1)[moved])
        with spent(seconds, "of that: invert"):
            options = {"batch_size": edit.batch_size, "progress": _within(watch, frames, 0)}
            clip = invert_clip(model, crops[moved], mean, codes, edit.steps, edit.solver, **options)
        with spent(seconds, "of that: decode"):
            options["progress"] = _within(watch, frames, 1)
            edited[moved] = decode_clip(model, clip, identity, detail_in_head=edit.detail_in_head, **options)
            parsing_edited[moved] = model.parse(edited[moved])
    return edited, edit_mask(parsing, parsing_edited)


def _within(watch: Watch, frames: slice, half: int) -> Progress:
    """Takes a watch over the first (0) or second (1) half of some frames, but for the last, which waits to be kept."""

    def progress(_: str, done: int, total: int) -> None:
        share = (half + done / total) / 2
        watch.reach(min(frames.start + int((frames.stop - frames.start) * share), frames.stop - 1))

    return progress


def _frames_kept(run: RunFolder, frames: int, at_once: int) -> int:
    """How many of all frames are in the parts of `at_once` frames that seem to be kept, or all in a whole video."""
    if run.placed:
        return frames
    starts = range(0, frames, at_once)
    kept = set(run.stages)
    return sum(min(at_once, frames - start) for number, start in enumerate(starts) if _stage(number) in kept)


def _stage(number: int) -> str:
    return f"{EDITED}-{number:06d}"
