"""What the host and its users see of the nodes, before any of them runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .host import object_info
from .node_pack import ROOT, loaded_pack

GOLDEN = Path(__file__).parent / "data" / "node_schemas.json"
LANGUAGES = ("en", "zh", "ko", "ja")


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    with loaded_pack(tmp_path_factory.mktemp("host")) as pack:
        yield pack


@pytest.fixture(scope="module")
def info(pack):
    return object_info(pack.classes)


def inputs_of(entry: dict) -> dict[str, list]:
    return {name: spec for part in ("required", "optional") for name, spec in entry["input"].get(part, {}).items()}


def test_the_schemas_are_those_that_saved_workflows_rely_on(pack, info):
    """Ids, order and types may only be added to. After an addition, run this file with DVA_WRITE_SCHEMAS=1."""
    seen = {name: _lasting(entry) for name, entry in info.items()}
    if os.environ.get("DVA_WRITE_SCHEMAS"):
        GOLDEN.write_text(json.dumps(seen, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert set(golden) <= set(seen), "a node is gone"
    for name, entry in golden.items():
        assert seen[name]["outputs"][: len(entry["outputs"])] == entry["outputs"], name
        for part, inputs in entry["inputs"].items():
            assert seen[name]["inputs"][part][: len(inputs)] == inputs, f"{name}: {part} inputs changed"
    assert seen == golden, "new nodes, inputs or outputs: write the golden file anew"


def test_every_node_has_a_place_a_description_and_words_to_be_found_by(info):
    for name, entry in info.items():
        assert re.fullmatch(r"DVA_[A-Za-z]+", name)
        assert entry["category"].split("/")[0] == "DVA"
        assert len(entry["description"]) > 30 and entry["search_aliases"], name


def test_every_input_and_output_is_explained(info):
    for name, entry in info.items():
        for key, spec in inputs_of(entry).items():
            assert len(spec[1].get("tooltip", "")) > 15, f"{name}.{key}"
        assert all(len(text or "") > 10 for text in entry["output_tooltips"]), name


def test_no_node_shows_more_than_six_widgets(info):
    for name, entry in info.items():
        shown = [
            key
            for key, (kind, options) in inputs_of(entry).items()
            if kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            and not options.get("forceInput")
            and not options.get("advanced")
        ]
        assert len(shown) <= 6, (name, shown)


def test_every_node_has_a_help_page(info):
    assert {path.parent.name for path in (ROOT / "web" / "docs").glob("*/en.md")} == set(info)


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_and_tooltips_are_translated(language, info):
    words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(words) == set(info)
    for name, entry in info.items():
        assert set(words[name]["inputs"]) == set(inputs_of(entry)), name
        assert set(words[name]["outputs"]) == {str(i) for i in range(len(entry["output"]))}, name
        texts = [words[name]["display_name"], words[name]["description"]]
        texts += [text for part in ("inputs", "outputs") for one in words[name][part].values() for text in one.values()]
        assert all(texts), name


def test_the_english_words_are_those_of_the_schemas(info):
    words = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    for name, entry in info.items():
        assert (words[name]["display_name"], words[name]["description"]) == (
            entry["display_name"],
            entry["description"],
        )
        for key, spec in inputs_of(entry).items():
            assert words[name]["inputs"][key]["tooltip"] == spec[1]["tooltip"], f"{name}.{key}"
        for index, text in enumerate(entry["output_tooltips"]):
            assert words[name]["outputs"][str(index)]["tooltip"] == text, name


def test_only_one_file_of_the_nodes_knows_the_hosts_insides():
    for path in (ROOT / "nodes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            inside = [name for name in names if name.split(".")[0] in ("comfy", "folder_paths", "server", "execution")]
            assert path.name == "_host.py" or not inside, f"{path.name} imports {inside}"


def test_importing_the_pack_takes_less_than_a_third_of_a_second():
    script = f"""
import importlib.util, sys, time
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("some-pack", {str(ROOT / "__init__.py")!r},
                                              submodule_search_locations=[{str(ROOT)!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["some-pack"] = module
spec.loader.exec_module(module)
print(time.perf_counter() - start)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3


def _lasting(entry: dict) -> dict:
    """What a saved workflow depends on."""
    return {
        "inputs": {
            part: [[name, spec[0], *_choices(spec)] for name, spec in entry["input"].get(part, {}).items()]
            for part in ("required", "optional")
        },
        "outputs": [list(pair) for pair in zip(entry["output_name"], entry["output"], strict=True)],
    }


def _choices(spec: list) -> list:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if kind == "COMBO":
        # Files and models differ from machine to machine.
        return [] if any(str(o).startswith(("demo (", "(save")) for o in options["options"]) else [options["options"]]
    return [[options.get("min"), options.get("max")]] if kind in ("INT", "FLOAT") else []
