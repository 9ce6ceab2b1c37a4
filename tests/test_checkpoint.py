"""Checkpoints are read without running what is in them; what is no checkpoint is refused in a sentence."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dva_core.weights.lightning import read_state_dict

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


@pytest.mark.parametrize("inside", ["callbacks", "hyper_parameters", "state_dict"])
def test_a_malicious_pickle_is_refused_without_being_run(tmp_path, inside):
    marker = tmp_path / "marker"
    malice = {"x": Malice(os.system, f"touch {marker}")}
    with one_sentence("a.ckpt", "posix.system", "nothing of it was run"):
        read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {}, **{inside: malice}))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(eval, ("1",)), (exec, ("1",)), (np.load, ("a.npy",)), (open, ("a", "w")), (getattr, (Path, "unlink"))],
    ids=["eval", "exec", "numpy.load", "open", "getattr"],
)
def test_functions_have_no_place_in_a_checkpoint(tmp_path, function, arguments):
    with one_sentence("could do harm"):
        read_state_dict(save_checkpoint(tmp_path / "a.ckpt", {}, callbacks=[Malice(function, *arguments)]))


def test_an_old_style_pickle_is_not_even_opened(tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Malice(os.system, f"touch {marker}"), protocol=2))
    with one_sentence("a.pkl", "not a checkpoint of PyTorch 1.6"):
        read_state_dict(tmp_path / "a.pkl")
    assert not marker.exists()


def test_a_missing_file(tmp_path):
    with one_sentence("nowhere.ckpt", "dva models"):
        read_state_dict(tmp_path / "nowhere.ckpt")


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


def test_a_safetensors_file(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "a.ckpt")
    with one_sentence("safetensors", "needs no conversion"):
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


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, torch.ones(2)])
def test_a_file_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")
    with one_sentence("holds no weights"):
        read_state_dict(tmp_path / "a.ckpt")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever runs this may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {}).chmod(0)
    with one_sentence("cannot be read"):
        read_state_dict(tmp_path / "a.ckpt")
