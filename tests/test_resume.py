"""A run that was stopped goes on where it was, and ends in the same bytes as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dva_core import video
from dva_core.cli import main
from dva_core.editing.text import ShiftSearch
from dva_core.editing.timeline import Curve
from dva_core.encoders import FaceDetector
from dva_core.errors import Cancelled, DvaError
from dva_core.footage import FRAMES_AT_ONCE
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import FaceTrack, IdentityShift
from dva_core.video_edit import edit_video

from .clip_files import TINY_CLIP, write_tiny_clip
from .sentences import one_sentence
from .tiny_model import editable_model
from .told_where import told_where
from .video_files import make_file

STEPS, COUNT, WITHOUT_FACE = 2, 2 * FRAMES_AT_ONCE + 4, range(6, 11)
PART_TWO = FRAMES_AT_ONCE + 2  # a frame in the second part
EDIT = {"Eyeglasses": 1.0}
KILLS = int(os.environ.get("DVA_KILLS", "2"))


@pytest.fixture(scope="module")
def model():
    return editable_model()


@pytest.fixture(scope="module")
def rendered():
    return render_clip(HELD_OUT_SEEDS[7], frames=COUNT, height=72, width=80)


@pytest.fixture(scope="module")
def source(rendered, tmp_path_factory) -> Path:
    return make_file(tmp_path_factory.mktemp("source") / "talk.mp4", list(rendered.frames), Fraction(25))


class Run:
    """Edits the video; knows what progress was made, and stops by an error of its own where it is told to."""

    def __init__(self, model, rendered, source: Path, target: Path) -> None:
        self.model, self.landmarks, self.source, self.target = model, rendered.landmarks, source, target
        self.seen: list[tuple[str, int]] = []
        self.resumed: list[tuple[int, int]] = []

    def __call__(self, stop: tuple[str, int] | None = None, edits=EDIT, steps=STEPS, at=lambda: None, **more):
        self.seen, self.resumed = [], []

        def progress(stage: str, done: int, total: int) -> None:
            self.seen.append((stage, done))
            if stop is not None and stage == stop[0] and done >= stop[1]:
                at()
                raise Stopped

        told = told_where(self.model, self.landmarks, WITHOUT_FACE)
        return edit_video(
            told, self.source, self.target, edits, steps, progress=progress,
            resumed=lambda *now: self.resumed.append(now), **more,
        )  # fmt: skip

    @property
    def unfinished(self) -> Path:
        return self.target.with_name(f"{self.target.name}.unfinished")

    @property
    def parts(self) -> list[Path]:
        return sorted(self.unfinished.glob("edited-*"))


class Stopped(Exception):
    pass


@pytest.fixture
def run(model, rendered, source, tmp_path) -> Run:
    return Run(model, rendered, source, tmp_path / "edited.mp4")


@pytest.fixture(scope="module")
def undisturbed(model, rendered, source, tmp_path_factory) -> bytes:
    run = Run(model, rendered, source, tmp_path_factory.mktemp("undisturbed") / "edited.mp4")
    run()
    assert list(run.target.parent.iterdir()) == [run.target] and run.resumed == []
    return run.target.read_bytes()


def stopped(run: Run, stage: str, frame: int, **more) -> None:
    with pytest.raises(Stopped):
        run((stage, frame), **more)
    assert not run.target.exists()


# --- going on ---


@pytest.mark.parametrize("frame", [1, FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE + 3, COUNT])
def test_a_run_goes_on_with_the_first_part_that_is_not_done(run, undisturbed, frame):
    stopped(run, "edit", frame)
    result = run()
    done = frame if frame == COUNT else frame // FRAMES_AT_ONCE * FRAMES_AT_ONCE
    assert run.resumed == [(done, COUNT)] and result.frames_resumed == done
    assert {stage for stage, _ in run.seen} == {"edit"}
    assert run.seen[0][1] == max(done, 1) and run.seen[-1] == ("edit", COUNT)
    assert run.target.read_bytes() == undisturbed
    assert list(run.target.parent.iterdir()) == [run.target]
    assert result.frames_without_face == list(WITHOUT_FACE)


def test_stages_before_the_edit_are_not_made_twice(run, undisturbed):
    stopped(run, "find face", COUNT)
    stopped(run, "encode", FRAMES_AT_ONCE)
    assert run.resumed == []
    stopped(run, "encode", FRAMES_AT_ONCE)
    assert run.resumed == [(0, COUNT)] and run.seen[0][0] == "encode"
    run()
    assert {stage for stage, _ in run.seen} == {"encode", "edit"}
    assert run.target.read_bytes() == undisturbed


def test_a_run_may_be_stopped_again_and_again(run, undisturbed):
    for frame in (3, PART_TWO, PART_TWO + 1, COUNT - 2):
        stopped(run, "edit", frame)
    run()
    assert run.target.read_bytes() == undisturbed


def test_a_folder_of_pictures_goes_on_too(model, rendered, source, tmp_path):
    runs = [Run(model, rendered, source, tmp_path / name) for name in ("once", "stopped")]
    runs[0]()
    stopped(runs[1], "edit", PART_TWO)
    runs[1]()
    pictures = [[file.read_bytes() for file in sorted(run.target.iterdir())] for run in runs]
    assert len(pictures[0]) == COUNT and pictures[0] == pictures[1]
    assert {file.name for file in tmp_path.iterdir()} == {"once", "stopped"}


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty"])
def test_a_damaged_part_is_made_again(run, undisturbed, damage):
    stopped(run, "edit", 2 * FRAMES_AT_ONCE + 1)
    file, content = run.parts[0], run.parts[0].read_bytes()
    changed = content[:-100] + bytes(byte ^ 1 for byte in content[-100:])
    file.write_bytes({"cut off": content[:-100], "changed": changed, "empty": b""}[damage])
    assert run().frames_resumed == FRAMES_AT_ONCE
    assert run.target.read_bytes() == undisturbed


def test_what_a_killed_run_was_writing_does_not_pile_up(run, undisturbed):
    stopped(run, "edit", PART_TWO)
    (run.unfinished / ".edited.4711.part.mp4").write_bytes(b"half a film")
    (run.unfinished / ".edited-000001.4711.abcd.part.safetensors").write_bytes(b"half a part")
    seen = []
    stopped(run, "edit", PART_TWO + 1, at=lambda: seen.extend(file.name for file in run.unfinished.glob(".*4711*")))
    assert seen == []
    run()
    assert list(run.target.parent.iterdir()) == [run.target]


def test_a_text_edit_that_was_found_is_not_looked_for_again(run):
    shift = IdentityShift(torch.randn(1, 512, generator=torch.Generator().manual_seed(1)) / 20, "tiny", "a -> b")
    clips = []
    search = ShiftSearch(lambda clip: clips.append(clip) or shift, {"texts": ["a", "b"]})
    stopped(run, "edit", PART_TWO, shifts=[(search, 0.5)])
    with one_sentence("another request (shifts)"):
        run(shifts=[(replace(search, request={"texts": ["a", "c"]}), 0.5)])
    result = run(shifts=[(search, 0.5)])
    (clip,) = clips
    assert len(clip.crops) == COUNT - len(WITHOUT_FACE)
    ((found, scale),) = result.shifts
    assert torch.equal(found.features, shift.features) and (found.name, scale) == ("a -> b", 0.5)


# --- what is refused ---


@dataclass(frozen=True)
class Detector:
    """Finds what another finds, and says what files it is from."""

    other: FaceDetector
    files: tuple[Path, ...]

    def detect(self, frames):
        return self.other.detect(frames)


def another_track(rendered) -> FaceTrack:
    quads = np.tile([[10.0, 10], [10, 60], [60, 60], [60, 10]], (COUNT, 1, 1))
    return FaceTrack(rendered.landmarks, quads, np.ones(COUNT, bool), 72, 80, Fraction(25))


def test_another_request_is_refused_and_the_run_kept_for_its_own(run, rendered, undisturbed):
    stopped(run, "edit", PART_TWO)
    changes = {
        "edits": {"Eyeglasses": 0.9},
        "steps": 4,
        "preserve": ["No_Beard"],
        "curve": Curve(((0, 0.0), (9, 1.0))),
        "batch_size": 7,
        "shifts": [(IdentityShift(torch.zeros(1, 512), "tiny", "nothing"), 1.0)],
        "track": another_track(rendered),
    }
    for name, value in changes.items():
        with one_sentence(str(run.unfinished), f"another request ({name})", "--overwrite"):
            run(**{name: value})
        assert run.seen == []
    assert run().frames_resumed == FRAMES_AT_ONCE
    assert run.target.read_bytes() == undisturbed


def test_other_weights_and_a_source_that_changed_are_another_request(run, model, source, tmp_path):
    run.source = tmp_path / "talk.mp4"
    run.source.write_bytes(source.read_bytes())
    stopped(run, "edit", PART_TWO)
    run.model = editable_model()
    run.model.head.bias[0] += 1e-3
    with one_sentence("another request (model)"):
        run()
    run.model = model
    os.utime(run.source, ns=(0, 0))
    with one_sentence("another request (source)"):
        run()


def test_a_detector_with_other_weights_is_another_request(run, tmp_path):
    def detector(weights: Path) -> Detector:
        return Detector(told_where(run.model, run.landmarks, WITHOUT_FACE).detector, (weights,))

    small, large = tmp_path / "small.pth", tmp_path / "large.pth"
    small.touch()
    large.touch()
    stopped(run, "edit", PART_TWO, detector=detector(small))
    with one_sentence("another request (detector)"):
        run(detector=detector(large))
    assert run(detector=detector(small)).frames_resumed == FRAMES_AT_ONCE


def test_another_request_may_take_the_place_when_asked_for(run, undisturbed):
    stopped(run, "edit", PART_TWO, edits={"No_Beard": 1.0})
    result = run(overwrite=True)
    assert run.resumed == [] and result.frames_resumed == 0
    assert run.target.read_bytes() == undisturbed


def test_a_finished_video_is_replaced_only_when_asked_for(run, undisturbed):
    run.target.write_bytes(b"mine")
    with one_sentence("is there already", "--overwrite", "overwrite=True"):
        run()
    assert run.seen == [] and list(run.target.parent.iterdir()) == [run.target]
    with pytest.raises(Stopped):
        run(("edit", PART_TWO), overwrite=True)
    assert run.target.read_bytes() == b"mine"
    assert run(overwrite=True).frames_resumed == FRAMES_AT_ONCE
    assert run.target.read_bytes() == undisturbed


def test_a_folder_of_somebody_else_is_left_alone(run):
    run.unfinished.mkdir()
    (run.unfinished / "novel.txt").write_text("Call me")
    for overwrite in (False, True):
        with one_sentence("in the way"):
            run(overwrite=overwrite)
    assert (run.unfinished / "novel.txt").read_text() == "Call me"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_the_folder_is_left_alone(run, overwrite):
    run.unfinished.write_text("Call me")
    with one_sentence("in the way"):
        run(overwrite=overwrite)
    assert run.unfinished.read_text() == "Call me"


def test_a_video_that_came_in_the_meantime_is_not_replaced(run):
    class Late:
        """A number of a curve, which is asked for only after the target was looked for."""

        def __float__(self) -> float:
            run.target.write_bytes(b"mine")
            return 1.0

    with one_sentence("is there already"):
        run(curve=[Late()] * COUNT)
    assert run.seen == [] and run.target.read_bytes() == b"mine"
    assert list(run.target.parent.iterdir()) == [run.target]


def test_a_damaged_request_says_so(run, undisturbed):
    stopped(run, "edit", PART_TWO)
    (run.unfinished / "request.json").write_bytes(b"")
    with one_sentence(str(run.unfinished), "request.json is damaged", "--overwrite"):
        run()
    assert run(overwrite=True).frames_resumed == 0
    assert run.target.read_bytes() == undisturbed


def test_a_request_that_cannot_be_written_is_a_sentence_and_leaves_nothing(run):
    resource = pytest.importorskip("resource")  # which Windows has not
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        with one_sentence(str(run.target), str(run.unfinished), "File too large"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.seen == [] and list(run.target.parent.iterdir()) == []


def test_what_the_system_refuses_is_a_sentence_that_says_what_is_kept(run):
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    with one_sentence(str(run.target), "Permission denied", "What is done is kept in"):
        run(("edit", PART_TWO), at=refuse)
    assert len(run.parts) == 1


def test_parts_are_as_long_as_a_batch_that_is_longer(run):
    stopped(run, "edit", FRAMES_AT_ONCE + 3, batch_size=FRAMES_AT_ONCE + 2)
    assert len(run.parts) == 1
    result = run(batch_size=FRAMES_AT_ONCE + 2)
    assert run.resumed == [(FRAMES_AT_ONCE + 2, COUNT)] and result.frames_resumed == FRAMES_AT_ONCE + 2


def test_two_runs_towards_one_target_do_not_meet(run, model, rendered, source, undisturbed):
    second = Run(model, rendered, source, run.target)

    def meet() -> None:
        with one_sentence("Another program", str(run.target)):
            second()

    stopped(run, "edit", PART_TWO, at=meet)
    second()
    assert run.target.read_bytes() == undisturbed


# --- how runs end ---


@pytest.mark.parametrize("error", [Cancelled, DvaError, KeyboardInterrupt])
def test_who_stops_a_run_hears_what_is_kept(run, error):
    def stop(stage: str, done: int, total: int) -> None:
        if done == PART_TWO:
            raise error("That is enough.")

    told = told_where(run.model, run.landmarks, WITHOUT_FACE)
    with pytest.raises(error, match=r"That is enough\. What is done is kept in .*edited\.mp4\.unfinished"):
        edit_video(told, run.source, run.target, EDIT, STEPS, progress=stop)
    assert len(run.parts) == 1


@pytest.mark.parametrize("kind", ["a part", "the video"])
def test_a_full_disk_ends_in_a_sentence_and_what_is_done_stays(model, rendered, tmp_path, kind):
    """No file may become larger than this, which is as near to a full disk as a test may go."""
    resource = pytest.importorskip("resource")  # which Windows has not
    noise = np.random.default_rng(0).integers(0, 255, (COUNT, 216, 240, 3), dtype=np.uint8)
    size = 100_000 if kind == "a part" else 200_000
    video.write_video(tmp_path / "noise", noise, Fraction(25))
    run = Run(model, rendered, tmp_path / "noise", tmp_path / "edited.mp4")
    once = Run(model, rendered, tmp_path / "noise", tmp_path / "once.mp4")
    once()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = told_where(model, rendered.landmarks, WITHOUT_FACE)

    def fill(stage: str, done: int, total: int) -> None:
        if stage == "edit" and done == PART_TWO:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    try:
        with one_sentence(str(run.target), "File too large", "What is done is kept"):
            edit_video(told, run.source, run.target, EDIT, STEPS, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not run.target.exists()
    assert run().frames_resumed >= FRAMES_AT_ONCE
    assert run.target.read_bytes() == once.target.read_bytes()


# --- the command ---


def command(source: Path, target: Path) -> list[str]:
    options = ["--model", "demo", "--device", "cpu", "--steps", "2", "--attribute", "Eyeglasses"]
    return ["edit", str(source), str(target), *options]


def test_a_command_that_is_killed_goes_on_and_ends_in_the_same_bytes(tmp_path, capsys):
    source, once = tmp_path / "talk.mp4", tmp_path / "once.mp4"
    rendered = render_clip(HELD_OUT_SEEDS[3], frames=3 * FRAMES_AT_ONCE, height=96, width=96)
    make_file(source, list(rendered.frames), Fraction(25))
    start = time.monotonic()
    assert main(command(source, once)) == 0
    lasts, seed, went_on = time.monotonic() - start, time.time(), 0
    chance = random.Random(seed)
    for kill in range(KILLS):
        target = tmp_path / f"killed-{kill}.mp4"
        running = subprocess.Popen(
            [sys.executable, "-m", "dva_core", *command(source, target)], stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        while running.poll() is None and not (unfinished := target.with_name(f"{target.name}.unfinished")).is_dir():
            time.sleep(0.01)
        time.sleep(delay := chance.uniform(0, lasts))
        told = f"seed {seed}, kill {kill} after {delay:.3f} s"
        running.send_signal(signal.SIGKILL)
        running.wait()
        capsys.readouterr()
        if not target.exists() or unfinished.exists():
            assert main(command(source, target)) == 0, told
            went_on += "Going on with an unfinished run: " in capsys.readouterr().out
        assert target.read_bytes() == once.read_bytes(), told
        assert not unfinished.exists(), told
    print(f"{went_on} of {KILLS} killed runs had something to go on with.")


# Python tells of each renaming and removal just before it is done; arguments: event, end of the path, target, command.
KILLED_AT = """
import os, signal, sys
from dva_core.cli import main
from tests.torchvision_operators import declare_missing_operators
declare_missing_operators()
event, ending, target, *command = sys.argv[1:]

def watch(now, args):
    if now == event and os.path.exists(target) == (ending != target):
        if str(args[1 if now == "os.rename" else 0]).endswith(ending):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
main(command)
"""
MOMENTS = {
    "before it has its name": ("os.rename", None),
    "before anything is removed": ("os.remove", ".safetensors"),
    "before the request is removed": ("os.remove", "request.json"),
}


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("moment", "name"),
    [*((moment, "edited.mp4") for moment in MOMENTS), ("before anything is removed", "pictures")],
)
def test_a_command_that_is_killed_when_its_video_is_done_can_be_ended(tmp_path, capsys, moment, name):
    source, target = tmp_path / "talk.mp4", tmp_path / name
    make_file(source, list(render_clip(HELD_OUT_SEEDS[3], frames=3, height=96, width=96).frames), Fraction(25))
    kill(MOMENTS[moment], target, command(source, target))
    unfinished = tmp_path / f"{name}.unfinished"
    assert unfinished.is_dir() and target.exists() == (moment != "before it has its name")
    assert json.loads((unfinished / "request.json").read_text())["placed"]
    before = contents(target)
    assert main([*command(source, target), "--json", str(tmp_path / "report.json")]) == 0
    assert "3 of 3 frames are done" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["frames_resumed"] == 3
    assert contents(target) and before in ({}, contents(target))
    assert not unfinished.exists()
    assert main(command(source, target)) == 2  # from now on it is a video as any other


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_text_edit_of_an_earlier_run_is_reported_and_counts_by_its_clip(tmp_path, capsys):
    source, target, report = tmp_path / "talk.mp4", tmp_path / "edited.mp4", tmp_path / "report.json"
    make_file(source, list(render_clip(HELD_OUT_SEEDS[3], frames=3, height=96, width=96).frames), Fraction(25))
    write_tiny_clip(tmp_path)
    weights = tmp_path / "tiny_clip.safetensors"
    more = ["--text", "face", "face with eyeglasses", "--text-iterations", "2", "--clip", str(TINY_CLIP), str(weights)]
    kill(MOMENTS["before it has its name"], target, [*command(source, target), *more])
    before = weights.stat().st_mtime_ns
    os.utime(weights, ns=(0, 0))
    assert main([*command(source, target), *more]) == 2
    assert "another request (shifts)" in capsys.readouterr().err
    os.utime(weights, ns=(before, before))
    assert main([*command(source, target), *more, "--json", str(report)]) == 0
    said = json.loads(report.read_text())
    assert said["frames_resumed"] == 3
    assert (said["text"]["seen"], said["text"]["wanted"]) == ("face", "face with eyeglasses")
    assert said["text"]["settings"]["iterations"] == 2 and "losses" not in said["text"]


def kill(moment: tuple[str, str | None], target: Path, edit: list[str]) -> None:
    """Runs a command that is killed at that moment; an ending of None is the target itself."""
    event, ending = moment
    killed = [sys.executable, "-c", KILLED_AT, event, ending or str(target), str(target), *edit]
    environment, root = {**os.environ, "OMP_NUM_THREADS": "1"}, Path(__file__).parents[1]
    ended = subprocess.run(killed, capture_output=True, text=True, env=environment, cwd=root)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def contents(target: Path) -> dict[str, tuple[int, bytes]]:
    files = target.iterdir() if target.is_dir() else [target] if target.exists() else []
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_the_command_replaces_a_video_only_when_asked_for(tmp_path, capsys):
    source, target = tmp_path / "talk.mp4", tmp_path / "edited.mp4"
    make_file(source, list(render_clip(HELD_OUT_SEEDS[3], frames=3, height=96, width=96).frames), Fraction(25))
    target.write_bytes(b"mine")
    assert main(command(source, target)) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "is there already" in said and target.read_bytes() == b"mine"
    assert main([*command(source, target), "--overwrite"]) == 0
    assert video.probe(target).frames == 3
