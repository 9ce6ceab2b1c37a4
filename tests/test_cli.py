"""The command `dva`, as somebody in a terminal meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from dva_core import diffusion, video
from dva_core.cli import main, options
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.weights.bundle import save_bundle

from .tiny_model import tiny_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A model that can find no face and edit nothing, for everything that fails before that matters."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.safetensors"
    model = tiny_model()
    model.attributes.trained[CELEBA_ATTRIBUTES.index("Eyeglasses")] = True
    save_bundle(model, path, summary={}, licence="MIT")
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video.write_video(path, render_clip(HELD_OUT_SEEDS[3], frames=4, height=96, width=96).frames, Fraction(24))
    return path


def edit(source: Path, target: Path, model: Path | str, *more: str) -> list[str]:
    return ["edit", str(source), str(target), "--model", str(model), "--device", "cpu", "--steps", "4", *more]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True)


PROGRAM = "import sys; from dva_core.cli import main; sys.exit(main())"


def test_help_names_the_commands_without_loading_torch():
    script = PROGRAM.replace("sys.exit(main())", "\ntry: main()\nfinally: print('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(command in done.stdout for command in ("edit", "demo", "eval", "train", "info", "bench"))


def test_edit_writes_the_video_and_the_report(clip, tmp_path, capsys):
    target, report = tmp_path / "edited.mp4", tmp_path / "report.json"
    more = ["--attribute", "Eyeglasses", "--scale", "1", "--attribute", "No_Beard", "--scale", "-0.5"]
    assert main(edit(clip, target, "demo", *more, "--json", str(report))) == 0
    assert video.probe(target).frame_rate == 24
    said = json.loads(report.read_text())
    assert said["edits"] == {"Eyeglasses": 1.0, "No_Beard": -0.5}
    assert (said["steps"], said["frames"], said["frame_rate"], said["frames_without_face"]) == (4, 4, "24", [])
    assert set(said["seconds"]) >= {"find face", "encode", "edit and write"}
    assert str(target) in capsys.readouterr().out


def test_solver_and_precision_may_be_chosen(clip, tmp_path):
    report = tmp_path / "report.json"
    more = ["--attribute", "Eyeglasses", "--solver", "ddim", "--precision", "bfloat16", "--json", str(report)]
    assert main(edit(clip, tmp_path / "edited.mp4", "demo", *more)) == 0
    said = json.loads(report.read_text())
    assert (said["solver"], said["precision"]) == ("ddim", "bfloat16")


def test_the_options_are_those_of_the_engine():
    assert set(options.SOLVERS) == set(diffusion.SOLVERS)
    assert (options.SOLVERS[0], options.STEPS) == (diffusion.DEFAULT_SOLVER, diffusion.DEFAULT_STEPS)


@pytest.mark.parametrize(
    "more", [["--solver", "residual"], ["--detail-in-head", "0.5"]], ids=["another solver", "a share of detail"]
)
def test_the_published_method_takes_no_solver_of_ours(clip, tmp_path, more, capsys):
    assert main(edit(clip, tmp_path / "edited.mp4", "demo", "--attribute", "Eyeglasses", "--faithful", *more)) == 2
    assert "published method has neither" in capsys.readouterr().err


def test_the_published_method_may_be_told_its_own_solver(clip, tmp_path):
    report = tmp_path / "report.json"
    more = ["--attribute", "Eyeglasses", "--steps", "2", "--faithful", "--solver", "ddim", "--json", str(report)]
    assert main(edit(clip, tmp_path / "edited.mp4", "demo", *more)) == 0
    assert json.loads(report.read_text())["solver"] == "ddim"


def test_one_scale_counts_for_all_attributes(clip, tmp_path):
    report = tmp_path / "report.json"
    more = ["--attribute", "Eyeglasses", "--attribute", "No_Beard", "--scale", "-1", "--json", str(report)]
    assert main(edit(clip, tmp_path / "edited.mp4", "demo", *more)) == 0
    assert json.loads(report.read_text())["edits"] == {"Eyeglasses": -1.0, "No_Beard": -1.0}


def test_an_edit_can_grow_in_and_preserve_the_rest(clip, tmp_path):
    target, report = tmp_path / "edited", tmp_path / "report.json"
    more = ["--attribute", "Eyeglasses", "--curve", "1:0,3:1", "--interpolation", "linear", "--preserve", "No_Beard"]
    assert main(edit(clip, target, "demo", *more, "--json", str(report))) == 0
    source, edited = list(video.read_frames(clip)), list(video.read_frames(target))
    assert [(a == b).all() for a, b in zip(source, edited, strict=True)] == [True, True, False, False]
    said = json.loads(report.read_text())
    assert said["curve"] == {"keys": [[1, 0], [3, 1]], "interpolation": "linear"}
    assert said["preserve"] == ["No_Beard"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--attribute", "Smiling"], "Smiling"),
        (["--attribute", "Eyeglasses", "--preserve", "Smiling"], "Smiling"),
        (["--attribute", "Eyeglasses", "--curve", "slowly"], "'slowly' is no curve"),
        (["--attribute", "Eyeglasses", "--interpolation", "linear"], "--curve"),
        (["--attribute", "Eyeglasses", "--curve", "0:1", "--faithful"], "--faithful"),
        (["--attribute", "Eyeglasses", "--attribute", "Eyeglasses"], "twice"),
        (["--attribute", "Eyeglasses", "--scale", "1", "--scale", "2"], "1 attribute"),
        (["--attribute", "Eyeglasses", "--steps", "37"], "37"),
        (["--attribute", "Eyeglasses", "--device", "abacus"], "abacus"),
        (["--attribute", "Eyeglasses", "--model", "nobody"], "nobody"),
    ],
)
def test_wrong_requests_get_one_sentence_and_exit_code_2(clip, bundle, tmp_path, capsys, more, complaint):
    assert main(edit(clip, tmp_path / "edited.mp4", bundle, *more)) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 1 and complaints[0].startswith("dva: ") and complaint in complaints[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"this is a letter and no film\n" * 40])
def test_files_that_are_no_video_get_one_sentence_and_exit_code_2(bundle, tmp_path, content):
    source, target = tmp_path / "holiday.mp4", tmp_path / "edited.mp4"
    if content is not None:
        source.write_bytes(content)
    done = run(*edit(source, target, bundle, "--attribute", "Eyeglasses"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "holiday.mp4" in done.stderr
    assert not target.exists()


def test_a_report_that_cannot_be_written_is_no_traceback(clip, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file where a folder should be")
    more = ["--attribute", "Eyeglasses", "--json", str(tmp_path / "taken" / "report.json")]
    assert main(edit(clip, tmp_path / "edited.mp4", "demo", *more)) == 2
    assert "taken" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_ends_with_one_line_no_half_file_and_what_is_done(tmp_path):
    source, target = tmp_path / "long.mp4", tmp_path / "edited.mp4"
    frame = render_clip(HELD_OUT_SEEDS[3], frames=1, height=96, width=96).frames[0]
    video.write_video(source, [frame] * 16, Fraction(25))
    arguments = edit(source, target, "demo", "--attribute", "Eyeglasses", "--steps", "100")
    command = [sys.executable, "-c", PROGRAM, *arguments]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    shown = b""
    while b"edit  " not in shown and (byte := running.stderr.read(1)):
        shown += byte
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    unfinished = tmp_path / "edited.mp4.unfinished"
    said = f"dva: interrupted. What is done is kept in {unfinished}; ask for the same again to go on."
    assert rest.decode().splitlines()[-1] == said
    assert b"Traceback" not in rest
    assert set(tmp_path.iterdir()) == {source, unfinished}


def test_info_says_what_a_model_can_edit(bundle, capsys):
    assert main(["info", "--model", str(bundle), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "tiny" in said and "32 x 32" in said and "Eyeglasses" in said and "Licence: MIT" in said


def test_numbers_that_make_no_sense_are_refused_by_the_options(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["eval", "demo", "--clips", "0"])
    assert ended.value.code == 2 and "at least 1" in capsys.readouterr().err


def test_training_takes_its_options_and_refuses_an_impossible_device(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "demo", "--help"])
    assert left.value.code == 0 and "--folder" in capsys.readouterr().out
    assert main(["train", "demo", "--folder", str(tmp_path / "runs"), "--device", "no-such-device"]) == 2
    assert "no-such-device" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_what_could_not_be_written_is_said_before_the_work(clip, bundle, tmp_path, capsys):
    (tmp_path / "file").touch()
    report = tmp_path / "file" / "report.json"
    assert main(edit(clip, tmp_path / "out.mp4", bundle, "--attribute", "Eyeglasses", "--json", str(report))) == 2
    assert str(report) in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_no_steps_are_not_the_default_number_of_steps(clip, bundle, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["edit", str(clip), str(tmp_path / "out.mp4"), "--attribute", "Eyeglasses", "--steps", "0"])
    assert "'0' is no whole number of at least 1" in capsys.readouterr().err
