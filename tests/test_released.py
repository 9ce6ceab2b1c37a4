"""The published checkpoint becomes a bundle: every weight is accounted for, and wrong files are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.cli import main
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.weights.bundle import about_model, load_model
from dva_core.weights.released import PUBLISHED, convert_released, sort_weights

from .released_checkpoint import EMA, classifier_weights, ema_weights, save_checkpoint
from .sentences import one_sentence

LANDMARK_NET = "encoder.lndnet.backbone."
GIGABYTE = 2**30
ROOT = Path(__file__).parents[1]


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return ema_weights(tiny=True)


def test_all_published_names_and_shapes_are_accounted_for(weights):
    tensors, aliased, dead = sort_weights(weights)
    assert (len(weights), len(tensors), len(aliased), len(dead)) == (1986, 1672, 312, 2)
    with torch.device("meta"):
        net = DiffusionVideoAutoencoder(PUBLISHED)
    expected = {name: t for name, t in net.state_dict().items() if not name.startswith("attributes.")}
    assert {name: (t.shape, t.dtype) for name, t in tensors.items()} == {
        name: (t.shape, t.dtype) for name, t in expected.items()
    }
    assert sum(p.numel() for p in net.unet.parameters()) == 190_576_643
    assert sum(p.numel() for p in net.head.parameters()) == 314_880


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """A checkpoint of 3.5 GB, converted by the command in a process of its own: (bundle, what was printed, ...)."""
    folder = tmp_path_factory.mktemp("released")
    if shutil.disk_usage(folder).free < 9 * GIGABYTE:
        pytest.skip("needs 9 GB of disk for a checkpoint of the published size")
    ema = ema_weights()
    checkpoint = save_checkpoint(folder / "full.ckpt", ema, whole=True)
    torch.save({"state_dict": classifier_weights()}, folder / "cls.ckpt")
    bundle = folder / "published.safetensors"
    # VmHWM is the most memory that this process ever held; what getrusage tells includes its parent's.
    script = (
        "import sys; from tests.torchvision_operators import declare_missing_operators as declare; declare();"
        "from dva_core.cli import main; code = main(sys.argv[1:]);"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))); sys.exit(code)"
    )
    arguments = ["convert", str(checkpoint), str(bundle), "--classifier", str(folder / "cls.ckpt")]
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    kilobytes = int(done.stdout.split("VmHWM:")[1].split()[0])
    yield bundle, ema, seconds, kilobytes / 2**20, done.stdout
    shutil.rmtree(folder)


def test_a_checkpoint_of_full_size_takes_under_3_gigabytes_and_2_minutes(full_size):
    _, _, seconds, gigabytes, _ = full_size
    assert gigabytes < 3
    assert seconds < 120


def test_the_command_says_what_became_of_the_weights(full_size):
    *_, printed = full_size
    for words in ("1672", "312", "1986", "40 attributes", "code MIT"):
        assert words in printed


def test_numbers_are_unchanged_and_the_bundle_opens_like_any_other(full_size):
    bundle, ema, *_ = full_size
    model = load_model(bundle)
    state = model.state_dict()
    tensors, _, _ = sort_weights(ema)
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert model.attributes.names == CELEBA_ATTRIBUTES
    classifier = classifier_weights()
    assert torch.equal(model.attributes.weight, classifier["classifier.weight"])
    assert torch.equal(model.attributes.mean, classifier["conds_mean"][0])
    assert torch.equal(model.attributes.std, classifier["conds_std"][0])
    assert about_model(bundle)["summary"]["classifier_bias"] == pytest.approx(classifier["classifier.bias"].tolist())


def test_half_precision_tells_the_error_it_makes(weights, tmp_path):
    conversion = convert_released(
        save_checkpoint(tmp_path / "a.ckpt", weights), tmp_path / "out.safetensors", half=True
    )
    assert conversion.half_error.keys() == {"unet", "identity", "landmarks", "parser", "head"}
    # All numbers of these weights are 0.01.
    error = abs(torch.tensor(0.01).half().item() / 0.01 - 1)
    assert list(conversion.half_error.values()) == pytest.approx([error] * 5, rel=1e-2)


def test_a_model_without_the_classifier_has_no_attributes(weights, tmp_path):
    target = tmp_path / "out.safetensors"
    conversion = convert_released(save_checkpoint(tmp_path / "a.ckpt", weights), target, half=True)
    assert (len(conversion.loaded), conversion.raw, conversion.surprises) == (1672, 0, ())
    assert load_model(target).attributes.names == ()


def test_surprises_are_reported(weights, tmp_path):
    weights["encoder.lndnet.backbone.pretrain_net.features.0.0.weight"] = torch.ones(32, 3, 3, 3)
    weights["encoder.unheard_of.weight"] = torch.ones(2)
    state = {EMA + name: tensor for name, tensor in weights.items()} | {"conds_mean": torch.zeros(1, 512)}
    checkpoint = save_checkpoint(tmp_path / "a.ckpt", {}, state_dict=state)
    surprises = convert_released(checkpoint, tmp_path / "out.safetensors", half=True).surprises
    assert len(surprises) == 3
    for name in ("features.0.0.weight", "unheard_of", "conds_mean"):
        assert name in " ".join(surprises)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("out.2.bias", None, "unet.out.2.bias is missing"),
        ("out.2.bias", torch.zeros(4), "unet.out.2.bias is [4], not [3]"),
        ("out.2.bias", torch.zeros(3, dtype=torch.float64), "float64"),
        ("encoder.linear.bias", torch.full((512,), torch.nan), "not finite"),
        ("encoder.linear.bias", torch.full((512,), torch.inf), "not finite"),
        (f"{LANDMARK_NET}linear1.bn.num_batches_tracked", torch.tensor(1.0), "float32, not int64"),
    ],
    ids=["missing", "shape", "float64", "nan", "infinite", "kind"],
)
def test_a_wrong_weight_is_named_and_nothing_is_written(weights, tmp_path, name, tensor, words):
    weights.pop(name)
    if tensor is not None:
        weights[name] = tensor
    refused(save_checkpoint(tmp_path / "a.ckpt", weights), words)


def test_weights_that_share_their_memory_are_written_each_for_itself(weights, tmp_path):
    both = torch.stack([torch.full((512,), 0.25), torch.full((512,), 0.5)])
    weights["time_embed.time_embed.0.bias"], weights["time_embed.time_embed.2.bias"] = both[0], both[0]
    target = tmp_path / "out.safetensors"
    convert_released(save_checkpoint(tmp_path / "a.ckpt", weights), target, half=True)
    state = load_model(target).state_dict()
    assert all(torch.equal(state[f"unet.time_embed.time_embed.{n}.bias"], both[0]) for n in (0, 2))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("change", [lambda t: t.to("meta"), lambda t: t.to_sparse()], ids=["meta", "sparse"])
@pytest.mark.parametrize("name", ["out.2.weight", f"{LANDMARK_NET}pretrain_net.features.0.0.weight"])
def test_a_weight_without_plain_numbers_is_refused(weights, tmp_path, name, change):
    weights[name] = change(weights[name])
    refused(save_checkpoint(tmp_path / "a.ckpt", weights), name, "another form than dense real numbers")


def test_an_alias_of_another_kind_is_only_reported(weights, tmp_path):
    name = f"{LANDMARK_NET}pretrain_net.features.0.0.weight"
    weights[name] = weights[name].to(torch.int64)
    target = tmp_path / "out.safetensors"
    (surprise,) = convert_released(save_checkpoint(tmp_path / "a.ckpt", weights), target, half=True).surprises
    assert "features.0.0.weight" in surprise


def test_names_that_are_numbers_are_refused(tmp_path):
    refused(save_checkpoint(tmp_path / "a.ckpt", {}, state_dict={3: torch.ones(2)}), "calls a tensor 3")


def test_files_of_other_kinds_are_refused(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "a.ckpt")
    refused(tmp_path / "a.ckpt", "a.ckpt is a safetensors file", "needs no conversion")
    torch.save({"weight": torch.ones(2)}, tmp_path / "b.ckpt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "b.ckpt", "b.ckpt is not a checkpoint of PyTorch 1.6 or newer")


def test_a_checkpoint_of_another_net_is_refused(tmp_path):
    refused(save_checkpoint(tmp_path / "a.ckpt", {}, state_dict={"layer.weight": torch.zeros(2)}), "no EMA weights")


def test_half_precision_refuses_what_it_cannot_hold(weights, tmp_path):
    weights["encoder.linear.weight"] = torch.full((512, 614), 1e6)
    refused(save_checkpoint(tmp_path / "a.ckpt", weights), "too large for half precision", half=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classifier.weight": torch.zeros(39, 512)}, "classifier.weight is [39, 512], not [40, 512]"),
        ({"conds_std": torch.zeros(1, 512)}, "conds_std"),
        ({"conds_mean": torch.full((1, 512), torch.nan)}, "not finite"),
        ({"layer.weight": torch.zeros(2)}, "layer.weight is not part"),
    ],
    ids=["shape", "no deviation", "nan", "unknown"],
)
def test_a_wrong_classifier_is_refused(weights, tmp_path, change, words):
    torch.save({"state_dict": classifier_weights() | change}, tmp_path / "cls.ckpt")
    checkpoint = save_checkpoint(tmp_path / "a.ckpt", weights)
    refused(checkpoint, "cls.ckpt", words, classifier=tmp_path / "cls.ckpt")


def test_checkpoint_and_classifier_in_each_other_s_place(weights, tmp_path):
    torch.save({"state_dict": classifier_weights()}, tmp_path / "cls.ckpt")
    save_checkpoint(tmp_path / "a.ckpt", weights)
    refused(tmp_path / "cls.ckpt", "no EMA weights", classifier=tmp_path / "a.ckpt")


def test_a_target_that_cannot_be_written_is_left_as_it_was(weights, tmp_path):
    (tmp_path / "out.safetensors").mkdir()
    with one_sentence("out.safetensors", "folder"):
        convert_released(save_checkpoint(tmp_path / "a.ckpt", weights), tmp_path / "out.safetensors", half=True)
    assert (tmp_path / "out.safetensors").is_dir()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a.ckpt", tmp_path / "out.safetensors"]


def test_the_published_config_survives_its_json():
    assert type(PUBLISHED).from_json(json.loads(json.dumps(PUBLISHED.to_json()))) == PUBLISHED


def refused(checkpoint: Path, *words: str, **options) -> None:
    target = checkpoint.parent / "out.safetensors"
    with one_sentence(*words):
        convert_released(checkpoint, target, **options)
    assert not list(checkpoint.parent.glob("*out*"))


def test_another_checkpoint_never_replaces_the_published_bundle_unasked(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "other.ckpt")]) == 2
    assert "bundle to write" in capsys.readouterr().err
