"""insightface's ArcFace as an identity encoder: what of an aligned crop it is shown, and how its file is found.

In ArcFace's place stands a net whose features are a thumbnail of the picture, so that one can look at it.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.encoders import build_encoder
from dva_core.errors import DvaError
from dva_core.faces.alignment import face_quads
from dva_core.faces.points import MEAN_FACE
from dva_core.weights.bundle import load_model, save_bundle

pytest.importorskip("insightface")

from insightface.utils.face_align import arcface_dst

from .onnx_files import THUMBNAIL, write_arcface, write_landmarks  # needs onnx
from .pictures import dots
from .tiny_model import TINY, crops

POINTS = ("left eye", "right eye", "left corner of the mouth", "right corner of the mouth")


@pytest.fixture
def file(tmp_path) -> Path:
    write_arcface(tmp_path / "arcface.onnx")
    return tmp_path / "arcface.onnx"


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("point", range(4), ids=POINTS)
def test_it_is_shown_each_part_of_a_mean_face_where_insightface_shows_it(file, point, size):
    thumbnail = _thumbnails(_encoder(file), _spot(point, size))[0, 0]
    row, column = divmod(int(thumbnail.argmax()), THUMBNAIL)
    centre = (np.array([column, row]) + 0.5) * 112 / THUMBNAIL - 0.5
    # A cell is 7 of the 112 pixels, and the mean face has proportions of its own.
    np.testing.assert_allclose(centre, arcface_dst[[0, 1, 3, 4]][point], atol=3.5 + 1)


def test_it_is_shown_red_as_red(file):
    crops = torch.full((1, 3, 64, 64), -1.0)
    crops[:, 0] = 0.5
    red, green = _thumbnails(_encoder(file), crops)[0]
    # Features of length 1, from 256 means of 0.5 and as many of -1.
    torch.testing.assert_close(red / green, torch.full((THUMBNAIL, THUMBNAIL), -0.5))


def test_fine_patterns_are_averaged_away(file):
    stripes = torch.ones(1, 3, 512, 512)
    stripes[..., ::2] = -1
    stripes[:, 1] = 1
    red, green = _thumbnails(_encoder(file), stripes)[0]
    assert (red / green).abs().max() < 0.1


def test_features_have_length_one_and_no_gradients(file):
    crops = torch.rand(3, 3, 64, 64, requires_grad=True) * 2 - 1
    z_id = _encoder(file)(crops)
    assert z_id.shape == (3, 512) and z_id.dtype == torch.float32 and not z_id.requires_grad
    torch.testing.assert_close(z_id.norm(dim=1), torch.ones(3))


def test_it_is_built_anew_from_its_config_and_has_no_weights(file):
    crops = torch.rand(1, 3, 64, 64)
    encoder = _encoder(file)
    with torch.device("meta"):  # as a bundle is loaded
        again = build_encoder(encoder.config)
    assert not again.state_dict()
    again = again.to("cpu").eval().requires_grad_(False)
    torch.testing.assert_close(again(crops), encoder(crops))
    torch.testing.assert_close(copy.deepcopy(encoder)(crops), encoder(crops))


def test_a_bundle_may_name_it(file, tmp_path):
    config = replace(TINY, identity={"kind": "insightface-arcface", "file": str(file)})
    model = DiffusionVideoAutoencoder(config).eval().requires_grad_(False)
    save_bundle(model, tmp_path / "new.safetensors", {}, "MIT")
    pictures = crops(3)
    loaded = load_model(tmp_path / "new.safetensors")
    features = loaded.encode_identity(pictures).features
    torch.testing.assert_close(features, model.identity(pictures))
    assert loaded.face_latent(loaded.encode_identity(pictures), loaded.encode_landmarks(pictures)).shape == (3, 512)


def test_a_missing_file_is_missed_when_it_is_needed_and_by_the_name_of_its_pack(tmp_path, monkeypatch):
    monkeypatch.setenv("DVA_MODELS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    encoder = build_encoder({"kind": "insightface-arcface", "file": "w600k_r50.onnx"})
    with pytest.raises(DvaError, match="The identity encoder needs the weight file insightface-buffalo_l"):
        encoder(torch.zeros(1, 3, 64, 64))
    encoder = build_encoder({"kind": "insightface-arcface", "file": "unknown.onnx"})
    with pytest.raises(DvaError, match=r"There is no ArcFace net unknown\.onnx"):
        encoder(torch.zeros(1, 3, 64, 64))


def test_a_file_that_is_no_arcface_is_refused(file, tmp_path):
    write_landmarks(tmp_path / "landmarks.onnx", np.zeros((106, 2)))
    write_arcface(tmp_path / "short.onnx", features=128)
    for other in ("landmarks.onnx", "short.onnx"):
        with pytest.raises(DvaError, match=rf"{other} is no ArcFace net with 512 features"):
            _encoder(tmp_path / other)(torch.zeros(1, 3, 64, 64))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DvaError, match=r"arcface\.onnx cannot be read as an ONNX net"):
        _encoder(file)(torch.zeros(1, 3, 64, 64))


def _encoder(file: Path) -> torch.nn.Module:
    return build_encoder({"kind": "insightface-arcface", "file": str(file)})


def _thumbnails(encoder: torch.nn.Module, crops: Tensor) -> Tensor:
    """Red and green of what ArcFace is shown, but for a factor: [B,2,16,16]."""
    return encoder(crops).reshape(len(crops), 2, THUMBNAIL, THUMBNAIL)


def _spot(point: int, size: int) -> Tensor:
    """A crop [1,3,size,size] aligned to the mean face, with a bright spot at one of its points."""
    places = np.stack([MEAN_FACE[36:42].mean(axis=0), MEAN_FACE[42:48].mean(axis=0), *MEAN_FACE[[48, 54]]])
    top_left, _, bottom_right, _ = face_quads(MEAN_FACE[None])[0]
    at = (places[point] - top_left) / (bottom_right - top_left) * size - 0.5
    frame = dots(size, size, at[None], sigma=size / 50)
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
