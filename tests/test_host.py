"""The stand-in for ComfyUI: it must be as strict as the host, and in places stricter."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from .host import (
    InputRefused,
    Linked,
    NodeMisbehaved,
    PackRefused,
    core_nodes,
    installed,
    load_pack,
    object_info,
    run_node,
)
from .toy_nodes import toy_nodes
from .video_files import make_file, moving_square

COMFYUI = Path(os.environ.get("COMFYUI_PATH", "none"))
PICTURES = torch.zeros(2, 4, 4, 3)


@pytest.fixture
def host(tmp_path):
    with installed(tmp_path) as host:
        yield host


def node_that(execute, **schema):
    """A node without much of a schema."""
    from comfy_api.latest import io

    class Node(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(**{"node_id": "Toy", "outputs": [io.Int.Output("n")], **schema})

    Node.execute = classmethod(execute)
    return Node


def write_pack(folder: Path, root: str, **files: str) -> Path:
    folder.mkdir()
    (folder / "__init__.py").write_text(root)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


# --- declaring nodes ---


def test_a_schema_refuses_what_comfyui_does_not_know(host):
    from comfy_api.latest import io

    with pytest.raises(TypeError, match="colour"):
        io.Schema(node_id="Toy", colour="red")
    with pytest.raises(TypeError, match="maximum"):
        io.Float.Input("amount", maximum=1.0)
    with pytest.raises(TypeError, match="placeholder"):
        io.Int.Input("count", placeholder="how many")
    with pytest.raises(TypeError, match="force_input"):
        io.Combo.Input("mode", options=["add"], force_input=True)


def test_object_info_tells_what_a_schema_says(host):
    info = object_info(toy_nodes())["Toy_Brighten"]
    assert info["input"]["required"] == {
        "images": ("IMAGE", {}),
        "amount": ("FLOAT", {"default": 0.5, "min": -1.0, "max": 1.0}),
        "mode": ("COMBO", {"default": "add", "multiselect": False, "options": ["add", "multiply"]}),
    }
    assert [*info["input"]["optional"]] == ["mask", "fps"]
    assert info["input"]["optional"]["fps"] == ("FLOAT", {"forceInput": True})
    assert (info["output"], info["output_name"], info["output_node"]) == (["IMAGE"], ["images"], False)


def test_a_union_of_types_can_show_a_widget(host):
    from comfy_api.latest import io

    union = io.MultiType.Input(io.Float.Input("amount", default=1.0), [io.Float, io.Mask], tooltip="how much")
    assert union.get_io_type() == "FLOAT,MASK"
    assert union.as_dict() == {"default": 1.0, "widgetType": "FLOAT", "tooltip": "how much"}
    assert io.MultiType.Input("any", [io.Image, io.Mask]).get_io_type() == "IMAGE,MASK"


def test_two_inputs_of_one_name_are_an_error(host):
    from comfy_api.latest import io

    node = node_that(lambda cls, n: io.NodeOutput(n), inputs=[io.Int.Input("n"), io.Float.Input("n")])
    with pytest.raises(ValueError, match="more than one input"):
        node.GET_SCHEMA()


# --- running nodes ---


def test_constants_are_converted_and_links_are_not(host):
    from comfy_api.latest import io

    node = node_that(lambda cls, n: io.NodeOutput(n), inputs=[io.Int.Input("n", min=0)])
    assert run_node(node, n="3")[0] == 3
    assert run_node(node, n=Linked("3"))[0] == "3"
    assert run_node(node, n=Linked(-3))[0] == -3
    with pytest.raises(InputRefused, match="invalid_input_type"):
        run_node(node, n="three")
    with pytest.raises(InputRefused, match="return_type_mismatch"):
        run_node(node, n=Linked(3, "IMAGE"))


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"amount": 2.0}, "value_bigger_than_max"),
        ({"amount": -2}, "value_smaller_than_min"),
        ({"mode": "divide"}, "value_not_in_list"),
        ({"colour": "red"}, "unknown_input"),
    ],
)
def test_values_out_of_range_are_refused(host, inputs, problem):
    given = {"images": PICTURES, "amount": 0.5, "mode": "add", **inputs}
    with pytest.raises(InputRefused, match=problem):
        run_node(toy_nodes()["Toy_Brighten"], **given)


def test_defaults_do_not_fill_in_for_missing_required_inputs(host):
    with pytest.raises(InputRefused) as refused:
        run_node(toy_nodes()["Toy_Brighten"], images=PICTURES)
    assert refused.value.problems == ["required_input_missing: amount", "required_input_missing: mode"]


def test_naming_an_input_in_validate_inputs_replaces_its_own_checks(host):
    from comfy_api.latest import io

    inputs = [io.Int.Input("n", max=9), io.Int.Input("m", max=9), io.Image.Input("images", optional=True)]
    node = node_that(lambda cls, n, m, images=None: io.NodeOutput(n), inputs=inputs)
    seen = []

    def validate(cls, n, images=None):
        seen.append((n, images))
        return n < 1000 or "n is absurd"

    node.validate_inputs = classmethod(validate)
    assert run_node(node, n="99", m=1, images=PICTURES)[0] == 99
    assert seen == [(99, None)]
    with pytest.raises(InputRefused, match="value_bigger_than_max: m"):
        run_node(node, n=99, m=99)
    with pytest.raises(InputRefused, match="n is absurd"):
        run_node(node, n=5000, m=1)


def test_nodes_run_in_inference_mode_on_inference_tensors(host):
    from comfy_api.latest import io

    @dataclass(frozen=True)
    class Track:
        quads: torch.Tensor

    def execute(cls, images, track, audio):
        given = [images, track.quads, audio["waveform"]]
        return io.NodeOutput(torch.is_inference_mode_enabled() and all(each.is_inference() for each in given))

    inputs = [io.Image.Input("images"), io.Custom("TOY_TRACK").Input("track"), io.Audio.Input("audio")]
    node = node_that(execute, inputs=inputs)
    audio = {"waveform": torch.zeros(1, 1, 8), "sample_rate": 8000}
    assert run_node(node, images=PICTURES, track=Track(torch.zeros(2, 4, 2)), audio=audio)[0]


def test_the_class_is_locked_while_a_node_runs(host):
    from comfy_api.latest import io

    def execute(cls):
        cls.count = 1
        return io.NodeOutput(1)

    with pytest.raises(AttributeError, match="locked class"):
        run_node(node_that(execute))


def test_hidden_values_are_those_that_the_schema_asks_for(host):
    from comfy_api.latest import io

    def execute(cls):
        return io.NodeOutput((cls.hidden.unique_id, cls.hidden.prompt))

    assert run_node(node_that(execute))[0] == (None, None)
    assert run_node(node_that(execute, hidden=[io.Hidden.unique_id]))[0] == ("1", None)
    assert run_node(node_that(execute, is_output_node=True))[0] == (None, {})


def test_asynchronous_nodes_run_too(host):
    from comfy_api.latest import io

    async def execute(cls):
        return io.NodeOutput(1)

    assert run_node(node_that(execute))[0] == 1


def test_misbehaviour_that_the_server_lets_pass_is_caught(host):
    from comfy_api.latest import io

    with pytest.raises(NodeMisbehaved, match="returned 0 values for 1 outputs"):
        run_node(node_that(lambda cls: io.NodeOutput()))
    with pytest.raises(NodeMisbehaved, match="returned a tuple"):
        run_node(node_that(lambda cls: (1,)))
    with pytest.raises(NodeMisbehaved, match="enable_expand"):
        run_node(node_that(lambda cls: io.NodeOutput(1, expand={})))
    listing = node_that(lambda cls: io.NodeOutput(1), outputs=[io.Int.Output("n", is_output_list=True)])
    with pytest.raises(NodeMisbehaved, match="returned a int for n, not a list"):
        run_node(listing)
    writing = node_that(lambda cls, images: io.NodeOutput(images.add_(1)), inputs=[io.Image.Input("images")])
    with pytest.raises(NodeMisbehaved, match="wrote into an input"):
        run_node(writing, images=PICTURES)


def test_progress_is_recorded_and_cancelling_stops_a_node(host):
    from comfy import model_management, utils
    from comfy_api.latest import io

    def execute(cls):
        bar = utils.ProgressBar(10)
        for _ in range(10):
            model_management.throw_exception_if_processing_interrupted()
            bar.update(1)
        return io.NodeOutput(1)

    node = node_that(execute)
    assert run_node(node)[0] == 1
    assert [step.value for step in host.progress] == [*range(1, 11)]
    host.forget()
    host.cancel(after=3)
    with pytest.raises(host.Interrupted):
        run_node(node)
    assert not issubclass(host.Interrupted, Exception)
    assert len(host.progress) == 3
    assert run_node(node)[0] == 1


# --- core nodes, folders ---


def test_a_video_goes_through_the_core_nodes(host):
    clip = make_file(host.input / "clip.mp4", moving_square(4))
    nodes = core_nodes()
    video = run_node(nodes["LoadVideo"], file=clip.name)[0]
    images, _, fps, *_ = run_node(nodes["GetVideoComponents"], video=video).args
    assert images.shape == (4, 48, 64, 3)
    again = run_node(nodes["CreateVideo"], images=images, fps=Linked(fps, "FLOAT"))[0]
    choice = {"format": "auto", "format.codec": "auto", "codec": "auto"}
    saved = run_node(nodes["SaveVideo"], video=again, filename_prefix="video/toy", **choice)
    assert saved.ui.as_dict()["images"] == [{"filename": "toy_00001_.mp4", "subfolder": "video", "type": "output"}]
    assert (saved[0].get_frame_count(), float(saved[0].get_frame_rate())) == (4, fps)
    with pytest.raises(InputRefused, match="there is no video"):
        run_node(nodes["LoadVideo"], file="../clip.mp4")


def test_model_folders_and_paths(host, tmp_path):
    import folder_paths

    folder_paths.add_model_folder_path("toy", str(host.models / "toy"))
    assert folder_paths.get_filename_list("toy") == []
    (host.models / "toy" / "deep").mkdir(parents=True)
    (host.models / "toy" / "deep" / "net.safetensors").touch()
    assert folder_paths.get_filename_list("toy") == ["deep/net.safetensors"]
    assert Path(folder_paths.get_full_path_or_raise("toy", "deep/net.safetensors")).is_file()
    with pytest.raises(FileNotFoundError):
        folder_paths.get_full_path_or_raise("toy", "other")
    with pytest.raises(ValueError, match="not a file"):
        folder_paths.get_annotated_filepath("../secret [output]")
    folder, name, number, *_ = folder_paths.get_save_image_path("toy/face", str(host.output))
    (Path(folder) / f"{name}_{number:05}.safetensors").touch()
    assert folder_paths.get_save_image_path("toy/face", str(host.output))[2:4] == (2, "toy")


# --- loading a pack ---

ENTRY = """
async def comfy_entrypoint():
    from .extension import Extension
    return Extension()
"""
EXTENSION = """
from comfy_api.latest import ComfyExtension, io
{imports}

class Node(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Toy_Node")

    @classmethod
    def execute(cls):
        return io.NodeOutput()

class Extension(ComfyExtension):
    async def get_node_list(self):
        return {nodes}
"""


def test_a_pack_is_loaded_through_its_entry_point(host, tmp_path):
    folder = write_pack(tmp_path / "toy-pack", ENTRY, extension=EXTENSION.format(imports="", nodes="[Node]"))
    assert [*load_pack(folder)] == ["Toy_Node"]


@pytest.mark.parametrize(
    ("entry", "imports", "nodes", "error"),
    [
        (ENTRY, "", "(Node,)", PackRefused),
        (ENTRY + "NODE_CLASS_MAPPINGS = {}", "", "[Node]", PackRefused),
        (ENTRY, "import dva_core", "[Node]", ImportError),
        (ENTRY, "from nodes.extension import NODES", "[Node]", ImportError),
    ],
)
def test_a_pack_that_the_server_would_not_take_is_refused(host, tmp_path, entry, imports, nodes, error):
    folder = write_pack(tmp_path / "toy-pack", entry, extension=EXTENSION.format(imports=imports, nodes=nodes))
    with pytest.raises(error):
        load_pack(folder)


def test_nothing_of_the_host_is_left_behind(tmp_path):
    before = [*sys.path]
    with installed(tmp_path):
        import comfy_api.latest  # noqa: F401
    assert sys.path == before
    assert not {"comfy", "comfy_api", "folder_paths", "nodes"} & set(sys.modules)


# --- against the real thing ---


@pytest.mark.comfyui
@pytest.mark.skipif(not (COMFYUI / "comfy_api").is_dir(), reason="COMFYUI_PATH does not point to a ComfyUI checkout")
def test_signatures_are_those_of_comfyui(host):
    """Reads the checkout's source; it need not be installed."""
    from comfy_api.latest import io

    source = ast.parse((COMFYUI / "comfy_api" / "latest" / "_io.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    fields = [node.target.id for node in classes["Schema"].body if isinstance(node, ast.AnnAssign)]
    assert fields == [*io.Schema.__dataclass_fields__]
    assert _parameters(classes["Input"]) == [*io.Input.signature.parameters]
    assert _parameters(classes["Output"]) == [*io.Output.signature.parameters]
    for name in ("Boolean", "Int", "Float", "String", "Combo", "MultiCombo", "MultiType", "DynamicCombo"):
        inside = {node.name: node for node in classes[name].body if isinstance(node, ast.ClassDef)}
        for part in inside.keys() & {"Input", "Output"}:
            own = getattr(getattr(io, name), part)
            assert _parameters(inside[part]) == [*own.signature.parameters], f"{name}.{part}"


def _parameters(node: ast.ClassDef) -> list[str]:
    """Names of a constructor's parameters, in order."""
    init = next(each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
    return [each.arg for each in init.args.args[1:]]
