"""The tools that check, convert and run workflow files."""

from __future__ import annotations

import copy

import pytest

from .host import InputRefused, core_nodes, installed, object_info
from .toy_nodes import toy_nodes
from .workflow_tools import check_workflow, run_graph, to_api


@pytest.fixture
def classes(tmp_path):
    with installed(tmp_path):
        yield toy_nodes() | core_nodes()


@pytest.fixture
def info(classes):
    return object_info(classes)


def node(number, kind, inputs, outputs, widgets=(), mode=0):
    """A node as it is saved; inputs and outputs are {name: type}."""
    return {
        "id": number,
        "type": kind,
        "pos": [0, 0],
        "size": [200, 100],
        "flags": {},
        "order": number,
        "mode": mode,
        "properties": {"Node name for S&R": kind},
        "inputs": [{"name": name, "type": each, "link": None} for name, each in inputs.items()],
        "outputs": [{"name": name, "type": each, "links": None} for name, each in outputs.items()],
        "widgets_values": [*widgets],
    }


def connect(nodes, links):
    """Links (id, from, slot, to, slot, type), entered at both of their ends."""
    by_id = {each["id"]: each for each in nodes}
    for number, origin, origin_slot, target, target_slot, _ in links:
        if target in by_id:
            by_id[target]["inputs"][target_slot]["link"] = number
        if origin in by_id:
            socket = by_id[origin]["outputs"][origin_slot]
            socket["links"] = [*(socket["links"] or []), number]


def workflow(nodes, links, **more):
    connect(nodes, links)
    return {
        "last_node_id": max(each["id"] for each in nodes),
        "last_link_id": max((link[0] for link in links), default=0),
        "nodes": nodes,
        "links": [[*link] for link in links],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
        **more,
    }


IMAGES = {"images": "IMAGE"}


def source(number=1):
    return node(number, "Toy_Source", {}, {**IMAGES, "fps": "FLOAT"}, [2, 5, "fixed", ""])


def brighten(number=2, mode=0):
    return node(number, "Toy_Brighten", {**IMAGES, "mask": "MASK", "fps": "FLOAT"}, IMAGES, [0.25, "add"], mode)


def show(number=3):
    return node(number, "Toy_Show", IMAGES, {})


def chain(mode=0):
    """Source -> Brighten -> Show, with a note."""
    note = node(4, "Note", {}, {}, ["look at the picture"])
    links = [(1, 1, 0, 2, 0, "IMAGE"), (2, 2, 0, 3, 0, "IMAGE"), (3, 1, 1, 2, 2, "FLOAT")]
    return workflow([source(), brighten(mode=mode), show(), note], links)


def with_subgraph():
    """The same chain, Brighten and one more inside of a subgraph."""
    inside = [brighten(10), brighten(11)]
    links = [(1, -10, 0, 10, 0, "IMAGE"), (2, 10, 0, 11, 0, "IMAGE"), (3, 11, 0, -20, 0, "IMAGE")]
    connect(inside, links)
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    definition = {
        "id": "a-uuid",
        "name": "Brighten twice",
        "nodes": inside,
        "links": [dict(zip(names, link, strict=True)) for link in links],
        "inputs": [{"name": "images", "type": "IMAGE", "linkIds": [1]}],
        "outputs": [{"name": "images", "type": "IMAGE", "linkIds": [3]}],
    }
    outside = [source(), node(2, "a-uuid", IMAGES, IMAGES), show()]
    outer_links = [(1, 1, 0, 2, 0, "IMAGE"), (2, 2, 0, 3, 0, "IMAGE")]
    return workflow(outside, outer_links, definitions={"subgraphs": [definition]})


# --- checking ---


def test_nothing_is_said_against_a_good_workflow(info):
    assert check_workflow(chain(), info) == []
    assert check_workflow(with_subgraph(), info) == []


def change(path, value):
    """A change to the chain: the place, and what to put there."""

    def apply(data):
        place = data
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change(["version"], 1), "version is 1"),
        (change(["groups"], None), "no groups"),
        (change(["nodes", 1, "mode"], 7), "mode 7"),
        (change(["nodes", 3, "id"], 1), "two nodes have the id 1"),
        (change(["last_link_id"], 1), "last_link_id is 1, below the link 3"),
        (change(["links", 0, 1], 77), "link 1 ends at node 77, which is not there"),
        (change(["nodes", 1, "inputs", 0, "link"], None), "link 1 is not named by input 0 of node 2"),
        (change(["nodes", 0, "outputs", 0, "links"], []), "link 1 is not named by output 0 of node 1"),
        (change(["nodes", 1, "inputs", 1, "link"], 9), "input 1 of node 2 names link 9"),
        (change(["nodes", 2, "type"], "Toy_Gone"), "no such node type"),
        (change(["nodes", 2, "inputs", 0, "name"], "pictures"), "there is no input pictures"),
        (change(["nodes", 0, "outputs"], [{"name": "images", "type": "IMAGE", "links": [1]}]), "outputs are"),
        (change(["links", 0, 5], "MASK"), "link 1 carries IMAGE"),
        (change(["nodes", 1, "widgets_values"], ["add", 0.25]), "amount is 'add', no FLOAT"),
        (change(["nodes", 1, "widgets_values"], [4.0, "add"]), "outside of -1.0 to 1.0"),
        (change(["nodes", 1, "widgets_values"], [0.25, "divide"]), "not among ['add', 'multiply']"),
        (change(["nodes", 1, "widgets_values"], [0.25]), "ends before mode"),
        (change(["nodes", 1, "widgets_values"], [0.25, "add", 1]), "has 1 more"),
        (change(["nodes", 1, "widgets_values"], {"amount": 0.25}), "no list but dict"),
        (change(["nodes", 0, "widgets_values"], [2, 5, ""]), "control after generate of seed is ''"),
        (change(["nodes", 0, "widgets_values"], [2, 5, "randomize", ""]), "must be fixed"),
        (change(["nodes", 0, "mode"], 2), "the required input images is not connected"),
    ],
)
def test_what_is_wrong_is_said(info, spoil, said):
    spoiled = copy.deepcopy(chain())
    spoil(spoiled)
    assert any(said in sentence for sentence in check_workflow(spoiled, info)), check_workflow(spoiled, info)


def test_an_open_required_socket_is_said(info):
    lone = workflow([brighten(1), show(2)], [(1, 1, 0, 2, 0, "IMAGE")])
    assert check_workflow(lone, info) == ["node 1 (Toy_Brighten): the required input images is not connected"]


def test_a_link_of_the_wrong_type_is_said(info):
    wrong = workflow([source(), brighten(), show()], [(1, 1, 1, 2, 0, "FLOAT"), (2, 2, 0, 3, 0, "IMAGE")])
    assert "link 1 carries FLOAT from node 1 to node 2, where IMAGE is wanted" in check_workflow(wrong, info)


def test_faults_inside_of_a_subgraph_are_said(info):
    spoiled = with_subgraph()
    spoiled["definitions"]["subgraphs"][0]["nodes"][0]["widgets_values"] = ["add", 0.25]
    assert any("no FLOAT in subgraph a-uuid" in sentence for sentence in check_workflow(spoiled, info))


def test_upload_buttons_and_dependent_choices_have_their_places(info):
    load = node(1, "LoadVideo", {}, {"video": "VIDEO"}, ["clip.mp4", "image"])
    save = node(2, "SaveVideo", {"video": "VIDEO"}, {"video": "VIDEO"}, ["video/clip", "mp4", "h264", "auto"])
    data = workflow([load, save], [(1, 1, 0, 2, 0, "VIDEO")])
    assert check_workflow(data, info) == []
    chosen = {"filename_prefix": "video/clip", "format": "mp4", "format.codec": "h264", "codec": "auto"}
    assert to_api(data, info)["2"]["inputs"] == {**chosen, "video": ["1", 0]}
    load["widgets_values"] = ["clip.mp4"]
    save["widgets_values"] = ["video/clip", "webm", "h264", "auto"]
    sentences = check_workflow(data, info)
    assert any("ends before the upload button" in each for each in sentences)
    assert any("format.codec is 'h264', not among ['auto', 'av1']" in each for each in sentences)


# --- converting ---


def test_values_get_their_names(info):
    assert to_api(chain(), info) == {
        "1": {"class_type": "Toy_Source", "inputs": {"count": 2, "seed": 5, "label": ""}, "_meta": {"title": "Source"}},
        "2": {
            "class_type": "Toy_Brighten",
            "inputs": {"amount": 0.25, "mode": "add", "images": ["1", 0], "fps": ["1", 1]},
            "_meta": {"title": "Toy_Brighten"},
        },
        "3": {"class_type": "Toy_Show", "inputs": {"images": ["2", 0]}, "_meta": {"title": "Toy_Show"}},
    }


def test_a_linked_widget_keeps_its_place(info):
    data = chain()
    data["nodes"][1]["inputs"].append({"name": "amount", "type": "FLOAT", "link": 4, "widget": {"name": "amount"}})
    data["nodes"][0]["outputs"][1]["links"].append(4)
    data["links"].append([4, 1, 1, 2, 3, "FLOAT"])
    data["last_link_id"] = 4
    assert check_workflow(data, info) == []
    inputs = to_api(data, info)["2"]["inputs"]
    assert (inputs["amount"], inputs["mode"]) == (["1", 1], "add")


def test_a_bypassed_node_hands_on_the_input_of_the_same_type(info):
    api = to_api(chain(mode=4), info)
    assert sorted(api) == ["1", "3"]
    assert api["3"]["inputs"] == {"images": ["1", 0]}


def test_a_muted_node_leaves_its_followers_without_the_input(info):
    api = to_api(chain(mode=2), info)
    assert api["3"]["inputs"] == {}


def test_a_file_from_before_a_widget_was_added_gets_its_default(info):
    data = chain()
    data["nodes"][0]["widgets_values"] = [2, 5, "fixed"]
    assert check_workflow(data, info) == []
    assert to_api(data, info)["1"]["inputs"] == {"count": 2, "seed": 5, "label": ""}


def test_reroutes_vanish(info):
    reroute = node(2, "Reroute", {"": "*"}, {"": "IMAGE"})
    data = workflow([source(), reroute, show()], [(1, 1, 0, 2, 0, "*"), (2, 2, 0, 3, 0, "IMAGE")])
    assert check_workflow(data, info) == []
    assert to_api(data, info)["3"]["inputs"] == {"images": ["1", 0]}


def test_subgraphs_are_unfolded(info):
    api = to_api(with_subgraph(), info)
    assert sorted(api) == ["1", "2:10", "2:11", "3"]
    links = [api[name]["inputs"]["images"] for name in ("2:10", "2:11", "3")]
    assert links == [["1", 0], ["2:10", 0], ["2:11", 0]]


def test_a_bypassed_subgraph_hands_on_its_input(info):
    data = with_subgraph()
    data["nodes"][1]["mode"] = 4
    api = to_api(data, info)
    assert sorted(api) == ["1", "3"]
    assert api["3"]["inputs"] == {"images": ["1", 0]}


# --- running ---


def test_a_graph_runs_in_order(classes, info):
    result = run_graph(to_api(chain(), info), classes)
    assert result.ran == ["1", "2", "3"]
    assert result.outputs["2"][0].flatten()[0] == pytest.approx(0.75)
    assert len(result.ui["3"]["images"]) == 1


def test_only_what_changed_and_its_followers_run_again(classes, info):
    api, cache = to_api(chain(), info), {}
    assert run_graph(api, classes, cache).ran == ["1", "2", "3"]
    assert run_graph(api, classes, cache).ran == []
    changed = run_graph(api, classes, cache, overrides={"2": {"amount": 0.5}})
    assert changed.ran == ["2", "3"]
    assert changed.outputs["2"][0].flatten()[0] == pytest.approx(1.0)
    assert run_graph(api, classes, cache).ran == ["2", "3"], "the server forgets what the last graph did not use"
    assert run_graph(api, classes, cache, overrides={"1": {"seed": 6}}).ran == ["1", "2", "3"]


def test_fingerprints_decide_too(classes, info):
    brighten_class, said = classes["Toy_Brighten"], ["a"]
    brighten_class.fingerprint_inputs = classmethod(lambda cls, amount, **_: said[0])
    api, cache = to_api(chain(), info), {}
    run_graph(api, classes, cache)
    assert run_graph(api, classes, cache).ran == []
    said[0] = "b"
    assert run_graph(api, classes, cache).ran == ["2", "3"]
    said[0] = float("nan")
    run_graph(api, classes, cache)
    assert run_graph(api, classes, cache).ran == ["2", "3"]


def test_nodes_that_nothing_needs_do_not_run(classes, info):
    data = chain()
    api = to_api(data, info)
    api["9"] = {"class_type": "Toy_Source", "inputs": {"count": 1, "seed": 1}}
    assert run_graph(api, classes).ran == ["1", "2", "3"]
    with pytest.raises(InputRefused, match="prompt_no_outputs"):
        run_graph({"9": api["9"]}, classes)


def test_a_graph_with_a_wrong_value_does_not_start(classes, info):
    with pytest.raises(InputRefused, match=r"node 2 \(Toy_Brighten\): value_bigger_than_max"):
        run_graph(to_api(chain(), info), classes, overrides={"2": {"amount": 9.0}})


def test_a_list_that_would_run_the_next_node_many_times_is_not_stood_in_for(classes, info):
    source = classes["Toy_Source"].define_schema

    def listing(cls):
        schema = source()
        schema.outputs[0].is_output_list = True
        return schema

    classes["Toy_Source"].define_schema = classmethod(listing)
    with pytest.raises(NotImplementedError, match="many times"):
        run_graph(to_api(chain(), info), classes)


def test_what_follows_a_blocked_node_is_left_out(classes, info):
    from comfy_api.latest import io

    images = to_api(chain(), info)
    blocked = classmethod(lambda cls, images, **_: io.NodeOutput(images, block_execution=""))
    classes["Toy_Brighten"].execute = blocked
    assert run_graph(images, classes).ran == ["1", "2"]
