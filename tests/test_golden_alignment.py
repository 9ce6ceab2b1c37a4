"""Alignment and paste-back give the published implementation's numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from einops import rearrange
from safetensors.numpy import load_file
from torch import Tensor

from dva_core.faces.alignment import crop_faces, face_axes, inverse_coefficients, smooth_quads
from dva_core.faces.pasting import paste_faces
from dva_core.values import FaceTrack

from .golden import golden_path, load_json

BORDER = 2  # crop pixels: how far from the quad's edge Pillow's way with borders reaches


@pytest.fixture(scope="module")
def sequences() -> list[dict[str, np.ndarray]]:
    loaded = load_json("align_expected.json")["sequences"]
    return [{name: np.asarray(values, dtype=np.float64) for name, values in one.items()} for one in loaded]


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    return load_file(golden_path("align_images.safetensors"))  # positions in double precision


def test_golden_axes_of_every_frame(sequences):
    for sequence in sequences:
        for axis, name in zip(face_axes(sequence["landmarks"]), ("raw_c", "raw_x", "raw_y"), strict=True):
            np.testing.assert_allclose(axis, sequence[name], rtol=0, atol=1e-6)


def test_golden_smoothed_quads(sequences):
    for sequence in sequences:
        np.testing.assert_allclose(smooth_quads(sequence["landmarks"]), sequence["smoothed_quads"], rtol=0, atol=1e-6)


def test_golden_inverse_coefficients(sequences):
    for sequence in sequences:
        (name,) = (name for name in sequence if name.startswith("inverse_coefficients_"))
        size = int(name.rsplit("_", 1)[1])
        found = np.stack([inverse_coefficients(quad, size) for quad in sequence["smoothed_quads"]])
        np.testing.assert_allclose(found, sequence[name], rtol=1e-6, atol=1e-9)


def crop_of(images: dict[str, np.ndarray], part: str) -> Tensor:
    (picture,) = (value for name, value in images.items() if name.startswith(part))
    return rearrange(torch.from_numpy(picture).float() / 127.5 - 1, "h w c -> 1 c h w")


def test_golden_crop_to_one_level(images):
    want = crop_of(images, "out.crop")
    found = crop_faces([images["in.image"]], images["in.quad"][None], want.shape[-1], faithful=True)
    away = slice(BORDER, -BORDER)
    assert (found - want)[..., away, away].abs().max() * 127.5 <= 1.001


def test_golden_picture_coefficients(images):
    (name,) = (name for name in images if name.startswith("out.inverse"))
    found = inverse_coefficients(images["in.quad"], int(name.removeprefix("out.inverse")))
    np.testing.assert_allclose(found, images[name], rtol=1e-6, atol=1e-9)


def test_golden_paste_to_one_level(images):
    crop = crop_of(images, "in.edited")
    frame, quad, want = images["in.image"], images["in.quad"], images["out.pasted"]
    size, (height, width) = crop.shape[-1], frame.shape[:2]
    track = FaceTrack(np.zeros((1, 68, 2)), quad[None], np.ones(1, dtype=bool), height, width, Fraction(25))
    found = paste_faces([frame], crop, track, torch.ones(1, 1, size, size), feather=0)[0]

    # The published way ends in a jagged edge, ours does not: compare away from it, inside and outside.
    a, b, c, d, e, f, *_ = inverse_coefficients(quad, size)
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = a * x + b * y + c, d * x + e * y + f
    inward = np.minimum.reduce([u, v, size - u, size - v])
    away = np.abs(inward) > BORDER
    assert 0.2 < (inward > BORDER).mean() < 0.8
    assert np.abs(found.astype(int) - want.astype(int))[away].max() <= 1
