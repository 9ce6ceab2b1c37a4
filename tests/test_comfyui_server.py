"""The pack in a real ComfyUI. Runs only where COMFYUI_PATH points to a checkout; takes minutes on a CPU.

COMFYUI_PYTHON names the interpreter that has ComfyUI's requirements (default: this one). Screenshots of the workflows
are kept in the folder DVA_SCREENSHOTS, if that is set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from . import comfyui_browser
from .comfyui_footage import YOUR_VIDEO, watch, with_shipped_weights, write_your_video
from .comfyui_server import (
    PACK,
    ServerFailed,
    ask,
    finished,
    messages,
    run_prompt,
    running_server,
    saved_files,
    seconds_taken,
    start_prompt,
    wait_for,
)
from .host import core_nodes, object_info
from .host.specs import flat_inputs
from .node_pack import ROOT, SWEEP, loaded_pack
from .workflow_tools import check_workflow, to_api

COMFYUI = Path(os.environ.get("COMFYUI_PATH", "none"))
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
CLIP = ROOT / "dva_core" / "assets" / "demo.mp4"
MINUTES = 60
LONG = 30 * MINUTES
# A run of seconds, with a number of frames that no workflow has, so that nothing comes from the cache.
FEWER_FRAMES, STEPS = 13, 10
ENDLESS_STEPS = 500
YOUR_FRAMES = 8
EDITING = {"DVA_EditAttribute", "DVA_Decode", "DVA_PasteBack", "CreateVideo", "SaveVideo"}
BEFORE_EDITING = {"DVA_LoadModel", "DVA_DemoClip", "DVA_AlignFaces", "DVA_EncodeIdentity", "DVA_Invert"}

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(not (COMFYUI / "main.py").is_file(), reason="COMFYUI_PATH does not point to a ComfyUI checkout"),
]
in_a_browser = pytest.mark.skipif(
    importlib.util.find_spec("playwright") is None or comfyui_browser.executable() is None,
    reason="needs the Python package playwright and a Chromium on the path",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    with running_server(COMFYUI, python, ROOT, tmp_path_factory.mktemp("comfyui")) as server:
        write_your_video(server.base / "input", YOUR_FRAMES)
        yield server


@pytest.fixture(scope="module")
def info(server):
    """What the server tells about all its nodes."""
    return ask(server, "/object_info")


@pytest.fixture(scope="module")
def quick_start(info):
    """The first workflow as the server takes it."""
    return to_api(read(WORKFLOWS[0]), info)


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def workflow(number: str) -> Path:
    return next(file for file in WORKFLOWS if file.stem.startswith(number))


def ids(api: dict, kind: str) -> list[str]:
    return [name for name, node in api.items() if node["class_type"] == kind]


def changed(api: dict, **widgets: dict) -> dict:
    """The graph with other widget values, {class: {input: value}}."""
    return {
        name: {**node, "inputs": {**node["inputs"], **widgets.get(node["class_type"], {})}}
        for name, node in api.items()
    }


def followers(api: dict, name: str) -> set[str]:
    """A node and all that depends on it."""
    found = {name}
    while True:
        more = {each for each, node in api.items() for value in node["inputs"].values() if is_from(value, found)}
        if more <= found:
            return found
        found |= more


def is_from(value: object, names: set[str]) -> bool:
    return isinstance(value, list) and value[0] in names


# --- what the server knows ---


def test_every_node_is_registered_and_explains_itself(info, tmp_path):
    with loaded_pack(tmp_path) as pack:
        expected = set(pack.classes)
    registered = {name: about for name, about in info.items() if name.startswith("DVA_")}
    assert set(registered) == expected
    silent = [
        f"{name}.{socket}"
        for name, about in registered.items()
        for section in ("required", "optional")
        for socket, (_, options) in about["input"].get(section, {}).items()
        if not options.get("tooltip")
    ]
    silent += [
        f"{name} -> {output}"
        for name, about in registered.items()
        for output, tooltip in zip(about["output_name"], about["output_tooltips"], strict=True)
        if not tooltip
    ]
    assert silent == []
    assert all(about["description"] and about["category"].startswith("DVA") for about in registered.values())


def test_the_stand_in_tells_the_same_about_the_pack(info, tmp_path):
    with loaded_pack(tmp_path) as pack:
        stood_in = json.loads(json.dumps(object_info(pack.classes)))
    for name, about in stood_in.items():
        assert {key: info[name][key] for key in about} == about, name


def test_the_core_nodes_are_as_the_stand_in_has_them(info, tmp_path):
    with loaded_pack(tmp_path):
        stood_in = object_info(core_nodes())

    def sockets(about: dict) -> list[tuple]:
        return [(spec.name, spec.type, spec.required) for spec in flat_inputs(about, chosen=lambda name: "auto")]

    for name, about in stood_in.items():
        assert sockets(about) == sockets(info[name]), name
        assert about["output"] == info[name]["output"], name


def test_the_workflows_are_offered_as_templates(server):
    assert sorted(ask(server, "/workflow_templates")[PACK]) == [file.stem for file in WORKFLOWS]


# --- running workflows ---


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_the_workflow_is_accepted_and_its_video_has_the_clips_frames_rate_and_sound(server, info, file):
    assert check_workflow(read(file), info) == []
    api = with_shipped_weights(to_api(read(file), info))
    entry = run_prompt(server, api, LONG)
    clips = ids(api, "DVA_DemoClip")
    source = watch(CLIP if clips else server.base / "input" / YOUR_VIDEO)
    asked = api[clips[0]]["inputs"]["frames"] if clips else 0
    (saved,) = (watch(path) for name in ids(api, "SaveVideo") for path in saved_files(server, entry, name))
    assert saved.frames == (asked or source.frames)
    assert saved.rate == source.rate
    # Some workflows put results side by side.
    assert [ours % theirs for ours, theirs in zip(saved.size, source.size, strict=True)] == [0, 0]
    assert saved.sound_rate == source.sound_rate
    assert saved.sound.shape[1] / saved.sound_rate == pytest.approx(float(saved.frames / saved.rate), abs=0.1)
    assert np.abs(saved.sound).max() > 0.005


def test_the_quick_start_keeps_the_size_of_the_picture(server, quick_start):
    short = changed(quick_start, DVA_DemoClip={"frames": 2}, DVA_Invert={"steps": 5})
    entry = run_prompt(server, short, 5 * MINUTES)
    (path,) = saved_files(server, entry, ids(short, "SaveVideo")[0])
    assert watch(path).size == watch(CLIP).size


def test_another_strength_runs_only_what_depends_on_it_and_saves_time(server, quick_start):
    first = changed(quick_start, DVA_DemoClip={"frames": FEWER_FRAMES}, DVA_Invert={"steps": STEPS})
    (edit,) = ids(first, "DVA_EditAttribute")
    first_entry = run_prompt(server, first, LONG)
    second = changed(first, DVA_EditAttribute={"strength": -1.0})
    second_entry = run_prompt(server, second, LONG)
    ran = set(second) - set(messages(second_entry)["execution_cached"]["nodes"])
    assert ran == followers(second, edit)
    kinds = {second[name]["class_type"] for name in ran}
    assert kinds >= EDITING and not kinds & BEFORE_EDITING
    assert seconds_taken(second_entry) < 0.75 * seconds_taken(first_entry)


def cancel_in(server, kind: str, slow: dict) -> None:
    """Starts a graph that would run for hours, and cancels it in a node of this kind, which gives up in time."""
    prompt = start_prompt(server, slow)
    running = lambda: prompt in json.dumps(ask(server, "/queue")["queue_running"])  # noqa: E731
    wait_for(running, MINUTES, "the prompt did not start")
    time.sleep(5)  # long enough to be past loading and aligning
    ask(server, "/interrupt", {})
    entry = finished(server, prompt, 2)
    assert entry["status"]["status_str"] == "error"
    assert messages(entry)["execution_interrupted"]["node_type"] == kind


def test_cancelling_ends_a_run_within_two_seconds(server, quick_start):
    slow = changed(quick_start, DVA_DemoClip={"frames": FEWER_FRAMES + 1}, DVA_Invert={"steps": ENDLESS_STEPS})
    cancel_in(server, "DVA_Invert", slow)


def test_cancelling_ends_a_search_for_a_text_edit_within_two_seconds(server, info):
    api = to_api(read(workflow("07")), info)
    short = {"DVA_DemoClip": {"frames": 2}, "DVA_Invert": {"steps": 5}}
    # Once before, so that the other one finds all that comes before the search in the cache.
    run_prompt(server, changed(api, **short, DVA_FindTextEdit={"iterations": 1}), 10 * MINUTES)
    cancel_in(server, "DVA_FindTextEdit", changed(api, **short, DVA_FindTextEdit={"iterations": 10000}))


def test_a_curve_of_the_hosts_own_editor_lets_an_edit_grow_in(server, quick_start):
    drawn = {"points": [[0, 0], [0.5, 0], [1, 1]], "interpolation": "linear"}
    (align,), (edit,) = ids(quick_start, "DVA_AlignFaces"), ids(quick_start, "DVA_EditAttribute")
    (decode,) = ids(quick_start, "DVA_Decode")
    grown = changed(quick_start, DVA_DemoClip={"frames": 3}, DVA_Invert={"steps": 5})
    grown["editor"] = {"class_type": "CurveEditor", "inputs": {"curve": drawn}}
    key_frames = {"key_frames": "0:1", "interpolation": "linear", "track": [align, 0], "curve": ["editor", 0]}
    grown["curve"] = {"class_type": "DVA_EditCurve", "inputs": key_frames}
    grown[edit]["inputs"]["strengths"] = ["curve", 0]
    for name, images in {"before": [align, 1], "after": [decode, 0]}.items():
        grown[name] = {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": f"grown_{name}"}}
    entry = run_prompt(server, grown, 5 * MINUTES)
    before, after = ([Image.open(path) for path in saved_files(server, entry, name)] for name in ("before", "after"))
    changes = [np.abs(np.subtract(*map(np.int16, pair))).mean() for pair in zip(before, after, strict=True)]
    assert changes[0] == changes[1] == 0 < changes[2]


def test_a_sweep_over_the_whole_clip_writes_a_video_for_each_strength(server, quick_start):
    swept = changed(quick_start, DVA_DemoClip={"frames": 2}, DVA_Invert={"steps": 5})
    (model,), (invert,), (paste,) = (ids(swept, f"DVA_{kind}") for kind in ("LoadModel", "Invert", "PasteBack"))
    inputs = {**SWEEP, "count": 2, "whole_clips": True, "model": [model, 0], "noise": [invert, 0]}
    swept["sweep"] = {"class_type": "DVA_Sweep", "inputs": inputs}
    swept[paste]["inputs"]["crops"] = ["sweep", 1]
    entry = run_prompt(server, swept, 5 * MINUTES)
    saved = [watch(path) for path in saved_files(server, entry, ids(swept, "SaveVideo")[0])]
    assert [video.frames for video in saved] == [2, 2]


def test_the_workflow_for_real_footage_names_what_weights_are_missing(server, info):
    api = to_api(read(workflow("06")), info)
    with pytest.raises(ServerFailed) as refused:
        start_prompt(server, api)
    answer = str(refused.value)
    errors = json.loads(answer[answer.index("{") :])["node_errors"]
    said = {error["class_type"]: error["errors"][0]["details"] for error in errors.values()}
    assert said.keys() == {"DVA_LoadModel", "DVA_LoadFaceDetector"}
    assert "`dva convert`" in said["DVA_LoadModel"] and "licence" in said["DVA_LoadModel"]
    assert "`dva models get insightface-buffalo_l`" in said["DVA_LoadFaceDetector"]


def test_a_refused_value_is_explained_and_nothing_runs(server, quick_start):
    with pytest.raises(AssertionError, match="strength"):
        start_prompt(server, changed(quick_start, DVA_EditAttribute={"strength": 99.0}))


# --- in the browser ---


@pytest.fixture(scope="module")
def browser(server):
    with comfyui_browser.opened(server.url, "DVA_LoadModel") as browser:
        yield browser


def what_nodes_get(api: dict) -> dict[str, tuple]:
    """Without titles, and without the text that some browsers send to a preview of text, which wants none."""
    return {
        name: (node["class_type"], {key: value for key, value in node["inputs"].items() if "preview" not in key})
        for name, node in api.items()
    }


@in_a_browser
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_the_browser_knows_all_nodes_and_reads_the_same_values(browser, info, file):
    folder = os.environ.get("DVA_SCREENSHOTS")
    shown = browser.show(read(file), Path(folder) / f"{file.stem}.png" if folder else None)
    assert shown.unknown == []
    assert what_nodes_get(shown.api) == what_nodes_get(to_api(read(file), info))
    assert browser.errors == []
