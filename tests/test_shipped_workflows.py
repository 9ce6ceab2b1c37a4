"""Every workflow that is shipped: well formed, and run through the real nodes at fewer frames and steps."""

from __future__ import annotations

import json

import pytest

from .comfyui_footage import hide_fetched_weights, with_shipped_weights, write_your_video
from .host import InputRefused, core_nodes, object_info
from .node_pack import ROOT, STEPS, loaded_pack
from .workflow_tools import check_workflow, run_graph, to_api

FILES = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINT = ROOT / "subgraphs" / "Edit face video.json"
FRAMES = 3
NOT_CHANGED_BY_AN_EDIT = {"DVA_LoadModel", "DVA_DemoClip", "DVA_AlignFaces", "DVA_EncodeIdentity", "DVA_Invert"}
FOR_REAL_FACES = next(file for file in FILES if file.stem.startswith("06"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    with loaded_pack(tmp_path_factory.mktemp("host")) as pack:
        write_your_video(pack.host.input, FRAMES)
        yield {**core_nodes(), **pack.classes}


def graph_of(file, classes) -> dict:
    """The workflow as the server takes it."""
    return to_api(json.loads(file.read_text(encoding="utf-8")), object_info(classes))


def shortened(api: dict) -> dict:
    """Widgets to set for a run of seconds."""
    short = {
        "DVA_DemoClip": {"frames": FRAMES},
        "DVA_Invert": {"steps": STEPS},
        "DVA_FindTextEdit": {"iterations": 3},
        "DVA_EditCurve": {"key_frames": f"0:0, {FRAMES - 1}:1"},
    }
    return {name: short[node["class_type"]] for name, node in api.items() if node["class_type"] in short}


def test_the_workflows_are_numbered_and_each_has_a_picture():
    assert [file.stem[:2] for file in FILES] == [f"{number:02}" for number in range(1, 10)]
    for file in FILES:
        assert 0 < file.with_suffix(".jpg").stat().st_size < 100_000


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_file_is_well_formed(file, classes):
    assert check_workflow(json.loads(file.read_text(encoding="utf-8")), object_info(classes)) == []


def test_the_blueprint_lacks_nothing_but_its_images(classes):
    problems = check_workflow(json.loads(BLUEPRINT.read_text(encoding="utf-8")), object_info(classes))
    assert len(problems) == 2 and all("images is not connected" in each for each in problems)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_workflow_runs(file, classes):
    api = with_shipped_weights(graph_of(file, classes))
    result = run_graph(api, classes, overrides=shortened(api))
    videos = [result.outputs[name][0] for name, node in api.items() if node["class_type"] == "SaveVideo"]
    assert len(videos) == 1
    parts = videos[0].get_components()
    assert len(parts.images) == FRAMES and parts.frame_rate == 25 and parts.audio is not None
    for name, node in api.items():
        if node["class_type"] == "DVA_PasteBack":
            source = result.outputs[node["inputs"]["images"][0]][0]
            assert not (result.outputs[name][0] == source).all()


def test_the_workflow_for_real_faces_says_in_a_sentence_each_what_weights_are_missing(classes, tmp_path, monkeypatch):
    hide_fetched_weights(monkeypatch, tmp_path)
    with pytest.raises(InputRefused) as refused:
        run_graph(graph_of(FOR_REAL_FACES, classes), classes)
    model, detector = refused.value.problems
    assert "DVA_LoadModel" in model and "`dva convert`" in model and "licence" in model
    assert "DVA_LoadFaceDetector" in detector and "`dva models get insightface-buffalo_l`" in detector
    assert "licence" in detector and not any("\n" in each for each in (model, detector))


def test_all_nodes_appear_in_some_workflow(classes):
    seen = {node["type"] for file in FILES for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]}
    rare = {"DVA_FaceMask", "DVA_SaveIdentity", "DVA_LoadIdentity"}
    assert {name for name in classes if name.startswith("DVA_")} - seen <= rare


def test_another_strength_aligns_encodes_and_inverts_nothing_again(classes):
    api = graph_of(FILES[0], classes)
    cache: dict = {}
    overrides = shortened(api)
    run_graph(api, classes, cache, overrides)
    edit = next(name for name, node in api.items() if node["class_type"] == "DVA_EditAttribute")
    ran = run_graph(api, classes, cache, {**overrides, edit: {"strength": 0.5}}).ran
    kinds = {api[name]["class_type"] for name in ran}
    assert {"DVA_EditAttribute", "DVA_Decode", "DVA_PasteBack", "SaveVideo"} <= kinds
    assert not kinds & NOT_CHANGED_BY_AN_EDIT


def test_another_strength_of_a_text_edit_searches_nothing_again(classes):
    api = graph_of(next(file for file in FILES if file.stem.startswith("07")), classes)
    cache: dict = {}
    overrides = shortened(api)
    run_graph(api, classes, cache, overrides)
    stronger = {name: {"strength": 1.2} for name, node in api.items() if node["class_type"] == "DVA_ApplyTextEdit"}
    ran = run_graph(api, classes, cache, {**overrides, **stronger}).ran
    kinds = {api[name]["class_type"] for name in ran}
    assert {"DVA_ApplyTextEdit", "DVA_Decode"} <= kinds
    assert not kinds & {*NOT_CHANGED_BY_AN_EDIT, "DVA_LoadClip", "DVA_FindTextEdit"}


def test_one_inversion_is_edited_many_times_and_its_price_is_shown(classes):
    api = graph_of(next(file for file in FILES if file.stem.startswith("05")), classes)
    cache: dict = {}
    overrides = shortened(api)
    first = run_graph(api, classes, cache, overrides)
    kinds = [api[name]["class_type"] for name in first.ran]
    assert kinds.count("DVA_Invert") == 1 and kinds.count("DVA_Decode") == 3
    (preview,) = (name for name, node in api.items() if node["class_type"] == "PreviewAny")
    assert f"{STEPS + 1} to invert, then {STEPS} for each edit" in first.outputs[preview][0]
    hat = next(name for name, node in api.items() if node["inputs"].get("attribute") == "Wearing_Hat")
    ran = run_graph(api, classes, cache, {**overrides, hat: {"strength": 0.5}}).ran
    kinds = [api[name]["class_type"] for name in ran]
    assert kinds.count("DVA_Decode") == 1 and not set(kinds) & NOT_CHANGED_BY_AN_EDIT
