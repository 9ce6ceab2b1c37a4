"""Weight files are read without running what is in them; what is no weight file is refused in a sentence."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dva_core.errors import DvaError
from dva_core.weights.checkpoint import container, read_state_dict

from .released_checkpoint import save_checkpoint
from .sentences import one_sentence


class Malice:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_foreign_harmless_objects_do_not_hinder(tmp_path):
    state = read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {"out.2.bias": torch.arange(3.0)}))
    assert {name: t.tolist() for name, t in state.items()} == {"ema_model.out.2.bias": [0, 1, 2]}


def test_numbers_of_numpy_do_not_hinder(tmp_path):
    more = {"lr": np.float64(0.1), "steps": np.arange(3)}
    state = read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.ones(2)}, **more))
    assert list(state) == ["ema_model.weight"]


def test_a_plain_state_dict_will_do(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pth")
    assert read_state_dict(tmp_path / "a.pth")["weight"].tolist() == [1, 1]


def test_the_form_before_pytorch_1_6(tmp_path):
    weights = {"state_dict": {"weight": torch.arange(3.0)}}
    torch.save(weights, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert container(tmp_path / "a.pth") == "pickle"
    assert read_state_dict(tmp_path / "a.pth")["weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("padding", [0, 0x20])
def test_safetensors(tmp_path, padding):
    save_file({"weight": torch.ones(2)}, tmp_path / "a.ckpt")
    whole = (tmp_path / "a.ckpt").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    longer = (size | 0xFF) + 1 + padding if padding else size  # a length that begins with a space
    (tmp_path / "a.ckpt").write_bytes(
        longer.to_bytes(8, "little") + whole[8 : 8 + size].ljust(longer) + whole[8 + size :]
    )
    assert container(tmp_path / "a.ckpt") == "safetensors"
    assert read_state_dict(tmp_path / "a.ckpt")["weight"].tolist() == [1, 1]


def test_what_several_gpus_put_before_names_goes_where_asked_for_and_all_have_it(tmp_path):
    torch.save({"module.a": torch.ones(1), "module.b": torch.ones(1)}, tmp_path / "all.pth")
    torch.save({"module.a": torch.ones(1), "a": torch.ones(1)}, tmp_path / "some.pth")
    assert list(read_state_dict(tmp_path / "all.pth")) == ["module.a", "module.b"]
    assert list(read_state_dict(tmp_path / "all.pth", strip="module.")) == ["a", "b"]
    assert list(read_state_dict(tmp_path / "some.pth", strip="module.")) == ["module.a", "a"]


def test_nothing_that_a_known_package_has_is_called(tmp_path):
    evil = Malice(np.save, str(tmp_path / "marker.npy"), 1)
    assert read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.ones(2)}, callbacks=[evil]))
    assert not (tmp_path / "marker.npy").exists()


@pytest.mark.parametrize("old", [False, True])
def test_what_other_code_lets_pytorch_load_is_not_let_in_here_and_stays_let_in_there(tmp_path, old):
    content = {"weight": torch.ones(2), "net": torch.nn.Linear(1, 1)}
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not old)
    with torch.serialization.safe_globals([torch.nn.Linear]):
        with one_sentence("could do harm"):
            read_state_dict(tmp_path / "a.ckpt")
        assert torch.nn.Linear in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("inside", ["callbacks", "hyper_parameters", "state_dict"])
def test_a_malicious_pickle_is_refused_without_being_run(tmp_path, inside):
    marker = tmp_path / "marker"
    malice = {"x": Malice(os.system, f"touch {marker}")}
    with one_sentence("a.ckpt", "posix.system", "nothing of it was run"):
        read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {}, **{inside: malice}))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(eval, ("1",)), (exec, ("1",)), (open, ("a", "w")), (getattr, (Path, "unlink"))],
    ids=["eval", "exec", "open", "getattr"],
)
def test_functions_have_no_place_in_a_checkpoint(tmp_path, function, arguments):
    with one_sentence("could do harm"):
        read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {}, callbacks=[Malice(function, *arguments)]))


def test_an_old_style_pickle_is_not_even_opened(tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Malice(os.system, f"touch {marker}"), protocol=2))
    with one_sentence("a.pkl", "neither a checkpoint of PyTorch nor safetensors"):
        read_state_dict(tmp_path / "a.pkl")
    assert not marker.exists()


def test_in_the_form_before_pytorch_1_6_too(tmp_path):
    malice = {"x": Malice(os.system, f"touch {tmp_path / 'marker'}")}
    torch.save(malice, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    with one_sentence("a.pth", "asks for more than weights", "nothing of it was run"):
        read_state_dict(tmp_path / "a.pth")
    assert not (tmp_path / "marker").exists()


def test_a_missing_file(tmp_path):
    with one_sentence("nowhere.ckpt", "dva models"):
        read_state_dict(tmp_path / "nowhere.ckpt")
    with pytest.raises(DvaError, match="There is no file aaa"):
        read_state_dict("a" * 5000)


def test_a_folder(tmp_path):
    with one_sentence("is a folder"):
        read_state_dict(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "a.ckpt").touch()
    with one_sentence("is empty"):
        read_state_dict(tmp_path / "a.ckpt")


def test_a_web_page(tmp_path):
    (tmp_path / "a.ckpt").write_text("\n<!DOCTYPE html><html><title>Quota exceeded</title></html>")
    with one_sentence("web page"):
        read_state_dict(tmp_path / "a.ckpt")


def test_another_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("pretrained_models/79999_iter.pth", "weights")
    with one_sentence("zip archive without a checkpoint"):
        read_state_dict(tmp_path / "a.zip")


def test_a_torchscript_program(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "a.pt")
    with one_sentence("TorchScript"):
        read_state_dict(tmp_path / "a.pt")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_that_was_cut_off(tmp_path, share):
    whole = save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.randn(100, 100)}).read_bytes()
    (tmp_path / "b.ckpt").write_bytes(whole[: int(share * len(whole))])
    with one_sentence("b.ckpt", "fetch it again"):
        read_state_dict(tmp_path / "b.ckpt")


def test_an_archive_that_lacks_the_numbers(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.randn(100, 100)})
    with zipfile.ZipFile(tmp_path / "a.ckpt") as whole, zipfile.ZipFile(tmp_path / "b.ckpt", "w") as part:
        for name in whole.namelist():
            if "/data/" not in name:
                part.writestr(name, whole.read(name))
    with one_sentence("b.ckpt", "fetch it again"):
        read_state_dict(tmp_path / "b.ckpt")


def test_a_damaged_pickle(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.randn(4)})
    with zipfile.ZipFile(tmp_path / "a.ckpt") as whole, zipfile.ZipFile(tmp_path / "b.ckpt", "w") as damaged:
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, content[: len(content) // 2] if name.endswith("data.pkl") else content)
    with one_sentence("b.ckpt", "fetch it again"):
        read_state_dict(tmp_path / "b.ckpt")


def test_an_archive_that_unpacks_to_much_more_than_it_is(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {"weight": torch.zeros(1000, 1000)})
    with zipfile.ZipFile(tmp_path / "a.ckpt") as whole:
        for packed in ("data.pkl", "data/0", "byteorder"):
            with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as archive:
                for name in whole.namelist():
                    kind = zipfile.ZIP_DEFLATED if name.endswith(packed) else zipfile.ZIP_STORED
                    archive.writestr(name, whole.read(name).ljust(9_000_000), kind)
            with one_sentence("b.ckpt", "could fill the memory"):
                read_state_dict(tmp_path / "b.ckpt")


def test_an_archive_with_a_list_of_contents_that_is_larger_than_any(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("a/data.pkl", bytes(65_000_000))
    with one_sentence("could fill the memory"):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.filterwarnings("ignore")  # PyTorch tells that it does not finish what is neither dense nor real
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to("meta"),
        lambda t: t.to_sparse(),
        lambda t: t.to(torch.complex64),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    ],
    ids=["meta", "sparse", "complex", "quantised"],
)
@pytest.mark.parametrize("old", [False, True])
def test_tensors_that_are_not_dense_real_numbers(tmp_path, change, old):
    torch.save({"a.weight": change(torch.ones(2))}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not old)
    with one_sentence("a.ckpt holds a.weight in another form than dense real numbers"):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.parametrize("name", [3, ("a", "b"), "two\nlines", None])
def test_names_that_no_net_has(tmp_path, name):
    torch.save({name: torch.ones(2)}, tmp_path / "a.ckpt")
    with one_sentence("calls a tensor", repr(name)):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "content", [[1, 2], {"state_dict": {}}, {"state_dict": [1, 2]}, {"state_dict": None}, {"epoch": 3}, torch.ones(2)]
)
@pytest.mark.parametrize("old", [False, True])
def test_a_file_without_weights(tmp_path, content, old):
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not old)
    with one_sentence("holds no weights"):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever runs this may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {}).chmod(0)
    with one_sentence("cannot be read"):
        read_state_dict(tmp_path / "a.ckpt")
