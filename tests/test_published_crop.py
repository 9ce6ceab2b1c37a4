"""Crops and paste-back as published: what Pillow makes of the published recipe, pixel by pixel."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from dva_core.errors import DvaError
from dva_core.faces.published_crop import cut_quad, paste_whole_quad, published_crops

from .golden import golden_path

SIDE = 64
HEIGHT, WIDTH = 360, 400


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    return load_file(golden_path("align_images.safetensors"))


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """Spots of colour, nowhere black."""
    spots = np.random.default_rng(0).integers(1, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(spots).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def square(x: float, y: float, side: float, turn: float = 0.1) -> np.ndarray:
    """The quad of a turned square: top-left, bottom-left, bottom-right, top-right."""
    along = side / 2 * np.array([np.cos(turn), np.sin(turn)])
    down = np.array([-along[1], along[0]])
    return np.array([x, y]) + np.stack([-along - down, -along + down, along + down, along - down])


def cut_plainly(picture: Image.Image, quad: np.ndarray, side: int) -> Image.Image:
    """A square's pixels, one bilinear sample each, by the plane map that its corners give."""
    start, across, down = quad[0] + 0.5, (quad[3] - quad[0]) / side, (quad[1] - quad[0]) / side
    coefficients = (across[0], down[0], start[0], across[1], down[1], start[1])
    return picture.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def difference(a: np.ndarray | Image.Image, b: np.ndarray | Image.Image) -> int:
    """The largest, in levels."""
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()


def as_crop(picture: np.ndarray | Image.Image) -> Tensor:
    return rearrange(torch.from_numpy(np.array(picture)).float() / 127.5 - 1, "h w c -> c h w")


# --- the way out of the frame ---


def test_golden_crop_up_to_its_border(images):
    assert difference(cut_quad(images["in.image"], images["in.quad"], 128), images["out.crop128"]) <= 1


def test_a_small_face_is_sampled_from_the_frame_as_it_is(frame):
    quad = square(200, 180, side=100)
    assert difference(cut_quad(frame, quad, SIDE), cut_plainly(Image.fromarray(frame), quad, SIDE)) <= 1


@pytest.mark.parametrize(("diagonal", "shrink"), [(3.9, 1), (4.1, 2)])
def test_the_frame_is_shrunk_first_when_the_diagonal_is_four_crops_long(frame, diagonal, shrink):
    quad = square(200, 180, side=diagonal * SIDE / 2**0.5)
    smaller = Image.fromarray(frame).resize((WIDTH // shrink, HEIGHT // shrink), Image.Resampling.LANCZOS)
    assert difference(cut_quad(frame, quad, SIDE), cut_plainly(smaller, quad / shrink, SIDE)) <= 1
    other = Image.fromarray(frame).resize((WIDTH // (3 - shrink), HEIGHT // (3 - shrink)), Image.Resampling.LANCZOS)
    assert difference(cut_quad(frame, quad, SIDE), cut_plainly(other, quad / (3 - shrink), SIDE)) > 1


def test_outside_the_frame_is_black(frame):
    crop = cut_quad(frame, square(0, 180, side=100, turn=0), SIDE)
    assert not crop[:, : SIDE // 2 - 1].any()
    assert crop[:, SIDE // 2 + 1 :].all()


@pytest.mark.parametrize(("x", "y"), [(-300, 180), (200, 900), (900, -300)])
def test_a_quad_that_misses_the_frame_is_black(frame, x, y):
    assert not cut_quad(frame, square(x, y, side=100), SIDE).any()


def test_crops_are_cut_at_1024_pixels_and_then_shrunk(frame):
    quads = np.stack([square(200, 180, side=100), square(220, 170, side=150)])
    crops = published_crops([frame, frame], quads, SIDE)
    assert crops.shape == (2, 3, SIDE, SIDE)
    assert -1 <= crops.min() < crops.max() <= 1
    for crop, quad in zip(crops, quads, strict=True):
        small = cut_plainly(Image.fromarray(frame), quad, 1024).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        assert (crop - as_crop(small)).abs().max() * 127.5 <= 1.001


def test_a_jpeg_of_quality_75_lies_in_between_when_asked_for(frame):
    quad = square(200, 180, side=100)
    file = BytesIO()
    Image.fromarray(cut_quad(frame, quad)).save(file, "JPEG", quality=75, subsampling="4:2:0")
    lossy = as_crop(Image.open(file).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    without, found = (published_crops([frame], quad[None], SIDE, jpeg)[0] for jpeg in (False, True))
    assert torch.equal(found, lossy)
    assert not torch.equal(found, without)


def test_every_frame_needs_its_quad(frame):
    with pytest.raises(DvaError, match="2 quads and 1 frames"):
        published_crops([frame], np.stack([square(200, 180, side=100)] * 2), SIDE)


# --- the way back ---


def test_golden_paste_up_to_its_jagged_edge(images):
    pasted = paste_whole_quad(images["in.image"], as_crop(images["in.edited128"]), images["in.quad"])
    assert difference(pasted, images["out.pasted"]) <= 1


def test_the_whole_quad_is_covered_and_nothing_else(frame):
    before, quad = frame.copy(), square(200, 180, side=100)
    pasted = paste_whole_quad(frame, torch.full((3, SIDE, SIDE), -1.0), quad)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    place = np.stack([x, y], axis=-1) - quad[0]
    across, down = (place @ (corner - quad[0]) / 100 for corner in (quad[3], quad[1]))
    inward = np.minimum.reduce([across, down, 100 - across, 100 - down])
    assert not pasted[inward > 1].any()
    assert np.array_equal(pasted[inward < -1], frame[inward < -1])
    assert np.array_equal(frame, before)


@pytest.mark.parametrize(("value", "level"), [(100.4, 100), (100.6, 101), (300, 255), (-20, 0)])
def test_values_are_rounded_to_the_nearest_level_and_clipped(frame, value, level):
    crop = torch.full((3, SIDE, SIDE), value / 127.5 - 1)
    assert (paste_whole_quad(frame, crop, square(200, 180, side=100))[180, 200] == level).all()
