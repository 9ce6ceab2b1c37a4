"""The square around a face, steady over time, and sharp, unshifted crops of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dva_core.errors import DvaError
from dva_core.faces.alignment import crop_faces, face_quads, inverse_coefficients, smooth_quads

from .pictures import centroid, dots, face_landmarks, in_quad, square

# --- quads ---


@pytest.mark.parametrize("degrees", [0, 25, -70])
def test_the_quad_of_an_upright_face_is_the_ffhq_square(degrees):
    quad = face_quads(face_landmarks((200.0, 150.0), 40.0, degrees)[None])[0]
    # Eyes 40 apart and the mouth 40 below: the half side is the larger of 2 x 40 and 1.8 x 40, the centre lies a
    # tenth of the way down to the mouth.
    down = 4.0 * np.array([-np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))])
    np.testing.assert_allclose(quad, square(tuple(down + (200.0, 150.0)), 80.0, degrees), atol=1e-9)


def test_a_long_face_is_measured_from_eyes_to_mouth():
    landmarks = face_landmarks((100.0, 100.0), 40.0)
    landmarks[48:, 1] += 60.0  # the mouth is now 100 below the eyes
    quad = face_quads(landmarks[None])[0]
    np.testing.assert_allclose(np.linalg.norm(quad[3] - quad[0]), 2 * 1.8 * 100)


def test_smoothing_calms_trembling_and_keeps_a_face_at_rest():
    rest = np.repeat(face_landmarks((100.0, 80.0), 30.0)[None], 40, axis=0)
    np.testing.assert_allclose(smooth_quads(rest), face_quads(rest), atol=1e-9)
    trembling = rest + np.random.default_rng(0).normal(0, 1, (40, 68, 2))
    raw, smooth = face_quads(trembling), smooth_quads(trembling)
    assert np.diff(smooth, axis=0).std() < 0.5 * np.diff(raw, axis=0).std()


def test_nothing_is_smoothed_across_a_gap():
    landmarks = np.stack([face_landmarks((50.0 if t < 10 else 250.0, 80.0), 30.0) for t in range(22)])
    valid = np.ones(22, dtype=bool)
    valid[10:12] = False
    landmarks[~valid] = np.nan
    quads = smooth_quads(landmarks, valid)
    assert np.isnan(quads[~valid]).all()
    np.testing.assert_allclose(quads[valid], face_quads(landmarks[valid]), atol=1e-9)


def test_inverse_coefficients_take_corners_to_corners_of_any_quadrilateral():
    quad = np.array([[10.0, 12.0], [20.0, 150.0], [170.0, 140.0], [120.0, 5.0]])
    a, b, c, d, e, f, g, h = inverse_coefficients(quad, 64)
    x, y = (quad + 0.5).T
    found = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1) / (g * x + h * y + 1)[:, None]
    np.testing.assert_allclose(found, [[0, 0], [0, 64], [64, 64], [64, 0]], atol=1e-9)


# --- crops ---


@pytest.mark.parametrize("half", [20.0, 33.3, 61.0, 128.0, 300.0])
@pytest.mark.parametrize("degrees", [0.0, 17.0, -140.0])
def test_what_is_in_the_frame_lies_at_its_place_in_the_crop(half, degrees):
    size, where = 64, np.array([[0.41, 0.63]])
    quad = square((half * 1.5 + 0.37, half * 1.5 - 0.21), half, degrees)
    extent = int(half * 3)
    frame = dots(extent, extent, in_quad(quad, where), sigma=half / 10)
    crop = crop_faces([frame], quad[None], size)[0]
    assert crop.shape == (3, size, size) and crop.dtype == torch.float32
    weights = (crop[0] - crop[0].min()).clamp(min=0.02).numpy() - 0.02
    np.testing.assert_allclose(centroid(weights), where[0] * size - 0.5, atol=0.05)


def test_shrinking_averages_and_does_not_alias():
    y, x = np.mgrid[:512, :512]
    checks = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    for degrees in (0.0, 11.0):
        crop = crop_faces([checks], square((255.5, 255.5), 160.0, degrees)[None], 64)[0]
        assert crop.abs().max() < 0.1  # the checks' mean is 0 in crop values


def test_an_aligned_square_of_frame_pixels_is_copied():
    frame = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    corner = np.array([[10.0, 7.0], [10.0, 71.0], [74.0, 71.0], [74.0, 7.0]]) - 0.5
    crop = crop_faces([frame], corner[None], 64)[0]
    found = ((crop + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.array_equal(found, frame[7:71, 10:74])


def test_beyond_the_frame_its_edge_goes_on():
    frame = np.full((60, 80, 3), 200, np.uint8)
    for centre in ((0.0, 0.0), (79.0, 30.0), (-500.0, -500.0), (900.0, 30.0)):
        crop = crop_faces([frame], square(centre, 40.0, 10.0)[None], 64)[0]
        assert (crop - (200 / 127.5 - 1)).abs().max() < 1e-5


def test_published_crops_are_black_beyond_the_frame():
    frame = np.full((60, 80, 3), 200, np.uint8)
    crop = crop_faces([frame], square((0.0, 30.0), 20.0, 0.0)[None], 64, faithful=True)[0]
    assert (crop[:, :, :20] == -1).all() and (crop[:, 10:-10, 40:] > 0.5).all()


def test_any_frame_size_down_to_one_pixel():
    for height, width in ((1, 1), (3, 200), (200, 3)):
        frame = np.full((height, width, 3), 90, np.uint8)
        assert crop_faces([frame], square((1.0, 1.0), 50.0, 5.0)[None], 16).isfinite().all()


def test_frames_and_quads_must_be_as_many():
    frame = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(DvaError, match="one quad for each frame"):
        crop_faces([frame, frame], square((10.0, 10.0), 5.0, 0.0)[None], 16)


def test_no_frames_give_no_crops():
    assert crop_faces([], np.zeros((0, 4, 2)), 16).shape == (0, 3, 16, 16)
