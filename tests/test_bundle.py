"""A model in one file: what goes in comes out, and files that are no models are refused in a sentence."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dva_core import tensorfile
from dva_core.errors import DvaError
from dva_core.values import Identity
from dva_core.weights.bundle import KIND, SHIPPED, about_model, load_model, save_bundle

from .sentences import one_sentence
from .tiny_model import TINY, crops, tiny_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "tiny.safetensors"
    save_bundle(tiny_model(), path, summary={"steps": 12}, licence="MIT", provenance="random numbers")
    return path


def test_a_loaded_model_does_what_the_saved_one_did(bundle):
    saved, loaded = tiny_model(), load_model(bundle)
    assert loaded.config == TINY
    x, t = crops(2), torch.tensor([100, 900])
    before, after = saved.encode_identity(x), loaded.encode_identity(x)
    assert torch.allclose(before.features, after.features, atol=1e-2)
    z_face = saved.face_latent(before, saved.encode_landmarks(x))
    assert (saved.eps(z_face)(x, t) - loaded.eps(z_face)(x, t)).abs().mean() < 1e-3


def test_a_bundle_tells_its_licence_and_where_it_comes_from(bundle):
    about = about_model(bundle)
    assert (about["licence"], about["provenance"], about["summary"]) == ("MIT", "random numbers", {"steps": 12})


def test_a_bundle_may_be_read_by_whoever_may_read_other_files(bundle, tmp_path):
    (tmp_path / "other").touch()
    assert bundle.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_loaded_model_is_ready_for_use(bundle):
    model = load_model(bundle)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert {t.dtype for t in model.state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_the_noise_estimator_can_be_had_in_less_precision(bundle):
    exact, coarse = load_model(bundle), load_model(bundle, dtype=torch.bfloat16)
    x, t = crops(1), torch.tensor([500])
    z_face = exact.face_latent(exact.encode_identity(x), exact.encode_landmarks(x))
    difference = exact.eps(z_face)(x, t) - coarse.eps(z_face)(x, t)
    assert 0 < difference.abs().mean() < 0.05


def test_the_header_tells_what_the_file_is(bundle):
    with safe_open(bundle, "pt") as file:
        header = json.loads(file.metadata()["dva"])
    assert header["kind"] == KIND
    assert header["fields"]["summary"] == {"steps": 12}
    assert header["fields"]["licence"] == "MIT"
    assert header["fields"]["provenance"] == "random numbers"
    assert header["fields"]["config"]["identity"]["kind"] == "demo-resnet"


def test_matrices_are_stored_in_half_precision(bundle):
    with safe_open(bundle, "pt") as file:
        assert file.get_tensor("head.weight").dtype == torch.float16
        assert file.get_tensor("head.bias").dtype == torch.float32


def test_saving_again_gives_the_same_file(bundle, tmp_path):
    again = tmp_path / "again.safetensors"
    save_bundle(load_model(bundle), again, summary={"steps": 12}, licence="MIT", provenance="random numbers")
    assert again.read_bytes() == bundle.read_bytes()


def test_missing_damaged_and_foreign_files_are_refused(bundle, tmp_path):
    with pytest.raises(DvaError, match="no model nobody"):
        load_model("nobody")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(bundle.read_bytes()[:5000])
    with pytest.raises(DvaError, match="damaged"):
        load_model(broken)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DvaError, match="not one of"):
        load_model(tmp_path / "foreign.safetensors")
    Identity(torch.zeros(1, 512), "tiny").save(tmp_path / "identity.safetensors")
    with pytest.raises(DvaError, match="holds Identity, not a model bundle"):
        load_model(tmp_path / "identity.safetensors")


@pytest.mark.parametrize("change", ["no config", "unknown word", "unknown kind", "other size", "lost tensor"])
def test_a_bundle_that_does_not_fit_itself_is_refused(bundle, tmp_path, change):
    fields, tensors = tensorfile.read(bundle, KIND)
    if change == "no config":
        del fields["config"]
    elif change == "unknown word":
        fields["config"]["unet"]["flavour"] = "vanilla"
    elif change == "unknown kind":
        fields["config"]["parser"]["kind"] = "crystal-ball"
    elif change == "other size":
        fields["config"]["unet"]["model_channels"] = 16
    else:
        del tensors["head.bias"]
    tensorfile.write(tmp_path / "changed.safetensors", KIND, fields, tensors)
    with pytest.raises(DvaError):
        load_model(tmp_path / "changed.safetensors")


@pytest.mark.parametrize("fields", [[], None, "abc", 3])
def test_a_header_without_fields_is_refused(bundle, tmp_path, fields):
    header = {"format_version": tensorfile.FORMAT_VERSION, "kind": KIND, "fields": fields}
    with one_sentence("changed.safetensors", "header", "damaged"):
        load_model(with_header(tmp_path, json.dumps(header)))


def test_a_header_that_is_nested_without_end_is_refused(tmp_path):
    with one_sentence("changed.safetensors", "header", "damaged"):
        load_model(with_header(tmp_path, "[" * 200_000))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("name", 3),
        ("identity", "abc"),
        ("identity", None),
        ("identity", []),
        ("identity", {"kind": []}),
        ("identity", {"kind": "demo-resnet", "width": 0}),
        ("identity", {"kind": "demo-resnet", "width": "wide"}),
        ("detector", "abc"),
        ("unet", None),
        ("unet", {"model_channels": "x"}),
        ("unet", {"unshuffle": 0}),
        ("unet", {"model_channels": -1}),
        ("unet", {"channel_mult": "abc"}),
    ],
)
def test_a_config_that_no_model_can_have_is_refused(bundle, tmp_path, part, value):
    fields, _ = tensorfile.read(bundle, KIND)
    fields["config"][part] = fields["config"]["unet"] | value if part == "unet" and value else value
    tensorfile.write(tmp_path / "changed.safetensors", KIND, fields, {"a": torch.zeros(1)})
    with one_sentence():
        load_model(tmp_path / "changed.safetensors")


def test_a_name_that_no_file_can_have_is_refused():
    with one_sentence("There is no model aaa"):
        load_model("a" * 5000)


@pytest.mark.parametrize("value", [torch.full((512,), torch.nan), torch.zeros(512, dtype=torch.int64)])
def test_numbers_that_make_no_sense_are_refused(bundle, tmp_path, value):
    fields, tensors = tensorfile.read(bundle, KIND)
    tensorfile.write(tmp_path / "changed.safetensors", KIND, fields, tensors | {"head.bias": value})
    with one_sentence("changed.safetensors", "head.bias"):
        load_model(tmp_path / "changed.safetensors")


def test_tensors_that_share_their_memory_are_written_each_for_itself(tmp_path):
    numbers = torch.arange(6.0).reshape(2, 3)
    tensorfile.write(tmp_path / "a.safetensors", "pairs", {}, {"a": numbers, "b": numbers, "row": numbers[1]})
    _, read = tensorfile.read(tmp_path / "a.safetensors", "pairs")
    assert torch.equal(read["a"], numbers) and torch.equal(read["b"], numbers) and torch.equal(read["row"], numbers[1])


@pytest.mark.skipif(not (SHIPPED / "demo.safetensors").exists(), reason="the demo model is not there")
def test_the_demo_model_is_small_and_loads_in_a_second():
    assert (SHIPPED / "demo.safetensors").stat().st_size <= 16_000_000
    load_model("demo")
    start = time.process_time()
    model = load_model("demo")
    assert time.process_time() - start < 1.0
    assert model.name == "demo"


def with_header(folder: Path, header: str) -> Path:
    save_file({"a": torch.zeros(1)}, folder / "changed.safetensors", {"dva": header})
    return folder / "changed.safetensors"
