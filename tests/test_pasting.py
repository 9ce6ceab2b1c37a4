"""Edited crops go back to their place, inside the mask and nowhere else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from dva_core.errors import DvaError
from dva_core.faces.alignment import crop_faces
from dva_core.faces.pasting import mask_in_frames, paste_faces
from dva_core.values import FaceTrack

from .pictures import centroid, dots, in_quad, square

SIZE = 64


def noise_frames(count: int = 1, height: int = 180, width: int = 240) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def as_float(frames: np.ndarray) -> np.ndarray:
    return frames.astype(np.float32) / 255


def one_face(frame: np.ndarray, quad: np.ndarray) -> FaceTrack:
    return FaceTrack(np.zeros((1, 68, 2)), quad[None], np.ones(1, bool), *frame.shape[:2], Fraction(25))


def disc(radius: float, size: int = SIZE) -> Tensor:
    """A mask [1,1,size,size]: 1 within a radius, in fractions of the crop, of its middle."""
    at = (torch.arange(size) + 0.5) / size - 0.5
    return (at[:, None].hypot(at[None]) < radius).float()[None, None]


def distance_from_middle(frame: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Of each frame pixel from the quad's middle, in fractions of its side."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    middle = quad.mean(axis=0)
    return np.hypot(x - middle[0], y - middle[1]) / np.linalg.norm(quad[3] - quad[0])


QUADS = {
    "enlarged": square((118.3, 91.7), 70.0, 12.0),
    "shrunk": square((118.3, 91.7), 21.0, -33.0),
    "beyond the frame": square((20.0, 160.0), 60.0, 5.0),
}


@pytest.mark.parametrize("quad", QUADS.values(), ids=QUADS)
@pytest.mark.parametrize("feather", [0.0, 0.1])
def test_an_unchanged_crop_gives_the_frame_back_bit_for_bit(quad, feather):
    frames = noise_frames()
    crops = crop_faces(frames, quad[None], SIZE)
    pasted = paste_faces(frames, crops, one_face(frames[0], quad), disc(0.4), feather, source_crops=crops)
    assert np.array_equal(pasted, frames)


@pytest.mark.parametrize("quad", QUADS.values(), ids=QUADS)
@pytest.mark.parametrize("with_source", [True, False])
def test_outside_the_mask_nothing_changes_and_inside_it_does(quad, with_source):
    frames = noise_frames()
    before = frames.copy()
    source = crop_faces(frames, quad[None], SIZE)
    pasted = paste_faces(
        frames, -source, one_face(frames[0], quad), disc(0.3), source_crops=source if with_source else None
    )
    changed = (pasted != frames).any(axis=-1)[0]
    distance = distance_from_middle(frames[0], quad)
    assert not changed[distance > 0.3 + 1.5 / SIZE].any()
    assert changed[distance < 0.2].mean() > 0.9
    assert np.array_equal(frames, before)


@pytest.mark.parametrize("with_source", [True, False])
def test_float_frames_change_like_bytes_but_unrounded(with_source):
    quad, frames = QUADS["enlarged"], noise_frames()
    track, source = one_face(frames[0], quad), crop_faces(frames, quad[None], SIZE)
    edited, options = -0.9 * source, {"source_crops": source if with_source else None}
    bytes_, floats = (paste_faces(given, edited, track, disc(0.4), **options) for given in (frames, as_float(frames)))
    assert floats.dtype == np.float32 and floats.min() >= 0 and floats.max() <= 1
    assert np.abs(floats * 255 - bytes_).max() <= 0.5 + 1e-3
    levels = floats[0][distance_from_middle(frames[0], quad) < 0.3] * 255
    assert np.abs(levels - levels.round()).mean() > 0.1


def test_float_frames_keep_what_leaves_the_range_where_nothing_changes():
    quad = QUADS["enlarged"]
    frames = as_float(noise_frames()) * 3 - 1
    track, source = one_face(frames[0], quad), torch.zeros(1, 3, SIZE, SIZE)
    assert np.array_equal(paste_faces(frames, source, track, disc(0.3), source_crops=source), frames)
    pasted = paste_faces(frames, source + 0.5, track, disc(0.3), source_crops=source)[0]
    distance = distance_from_middle(frames[0], quad)
    assert np.array_equal(pasted[distance > 0.35], frames[0][distance > 0.35])
    inside = pasted[distance < 0.2]
    assert inside.min() >= 0 and inside.max() <= 1


@pytest.mark.parametrize("mask_frames", [1, 2])
def test_a_mask_for_the_frames_limits_the_change(mask_frames):
    quad, frames = QUADS["enlarged"], np.full((2, 180, 240, 3), 100, np.uint8)
    track = FaceTrack(np.zeros((2, 68, 2)), np.stack([quad] * 2), np.ones(2, bool), 180, 240, Fraction(25))
    source = crop_faces(frames, track.quads, SIZE)
    limit = np.zeros((mask_frames, 180, 240), np.float32)
    limit[-1, :, :118] = 0.5
    pasted = paste_faces(frames, source + 0.1, track, disc(0.4).expand(2, -1, -1, -1), 0.0, source, limit)
    assert np.array_equal(pasted[:, :, 118:], frames[:, :, 118:])
    assert (pasted[1, 92, 110] == 106).all()  # half of 0.1 of 127.5 levels
    assert (pasted[0, 92, 110] == (106 if mask_frames == 1 else 100)).all()


@pytest.mark.parametrize("quad", QUADS.values(), ids=QUADS)
def test_the_mask_in_the_frames_is_how_much_of_a_change_arrives(quad):
    frame = np.full((180, 240, 3), 0.5, np.float32)
    source, track = torch.zeros(1, 3, SIZE, SIZE), one_face(frame, quad)
    pasted = paste_faces([frame], source + 0.04, track, disc(0.4), 0.1, source_crops=source)
    arrived = (pasted - frame)[..., 0] / 0.02
    mask = mask_in_frames(track, disc(0.4), 0.1)
    assert mask.shape == (1, 180, 240) and mask.dtype == np.float32
    np.testing.assert_allclose(mask, arrived, atol=1e-3)
    assert mask.max() > 0.99


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("half", [24.0, 61.0, 150.0])
@pytest.mark.parametrize("with_source", [True, False])
def test_a_change_lands_at_its_place_within_a_tenth_of_a_pixel(size, half, with_source):
    where = np.array([[0.57, 0.44]])
    quad = square((half * 1.5 + 0.37, half * 1.5 - 0.21), half, 17.0)
    frame = np.full((int(half * 3), int(half * 3), 3), 40, np.uint8)
    source = crop_faces([frame], quad[None], size)
    spot = dots(size, size, where * size - 0.5, sigma=size / 20)
    edited = torch.from_numpy(spot).float().permute(2, 0, 1)[None] / 127.5 - 1
    mask = torch.ones(1, 1, size, size)
    pasted = paste_faces([frame], edited, one_face(frame, quad), mask, source_crops=source if with_source else None)[0]
    weights = pasted[..., 0].astype(float) - 40
    assert weights.max() > 120
    np.testing.assert_allclose(centroid(weights.clip(min=0)), in_quad(quad, where)[0], atol=0.1)


def test_a_change_of_colour_keeps_the_frames_finer_detail():
    quad = QUADS["enlarged"]
    frames = noise_frames()
    source = crop_faces(frames, quad[None], SIZE)
    pasted = paste_faces(frames, source + 0.04, one_face(frames[0], quad), disc(0.4), source_crops=source)
    inside = (distance_from_middle(frames[0], quad) < 0.3) & (frames[0].max(axis=-1) < 245)
    difference = pasted[0][inside].astype(int) - frames[0][inside]
    assert set(np.unique(difference)) <= {5, 6}  # 0.04 of 127.5 levels


def test_what_the_edit_removes_leaves_no_ghost_of_its_fine_detail():
    quad = square((150.0, 150.0), 130.0, 8.0)
    without = np.full((300, 300, 3), 160, np.uint8)
    y, x = np.mgrid[:300, :300]
    ring = np.abs(np.hypot(x - 150, y - 150) - 50) < 3  # a rim thinner than two crop pixels
    frame = np.where(ring[..., None], 30, without).astype(np.uint8)
    source, edited = (crop_faces([picture], quad[None], SIZE) for picture in (frame, without))
    pasted = paste_faces([frame], edited, one_face(frame, quad), disc(0.45), source_crops=source)[0]
    remains = np.abs(pasted.astype(int) - without)
    assert np.abs(frame.astype(int) - without).max() == 130
    assert remains.max() <= 20 and remains[ring].mean() < 3


def test_the_mask_fades_inwards_over_the_feather():
    quad = square((128.0, 128.0), 100.0, 0.0)
    frame = np.full((256, 256, 3), 100, np.uint8)
    source = crop_faces([frame], quad[None], SIZE)
    pasted = paste_faces([frame], source + 0.4, one_face(frame, quad), disc(0.4), 0.1, source_crops=source)[0]
    along = pasted[128, 128:, 0].astype(int) - 100  # from the middle to the right
    full = along.max()
    assert full == pytest.approx(0.4 * 127.5, abs=1)
    at = np.arange(len(along)) / 200  # in fractions of the crop
    assert (along[at < 0.29] == full).all()
    assert (np.diff(along) <= 0).all() and np.abs(np.diff(along)).max() < 0.15 * full
    assert (along[at > 0.41] == 0).all()


def test_a_mask_up_to_the_crops_border_fades_there_too():
    quad = square((128.0, 128.0), 60.0, 0.0)
    frame = np.full((256, 256, 3), 100, np.uint8)
    source = crop_faces([frame], quad[None], SIZE)
    ones = torch.ones(1, 1, SIZE, SIZE)
    pasted = paste_faces([frame], source + 0.4, one_face(frame, quad), ones, 0.1, source_crops=source)[0]
    assert np.abs(np.diff(pasted[128, :, 0].astype(int))).max() < 10


def test_frames_without_a_face_pass_and_crops_go_to_the_frames_that_have_one():
    frames = noise_frames(4)
    valid = np.array([True, False, False, True])
    quads = np.full((4, 4, 2), np.nan)
    quads[valid] = QUADS["enlarged"]
    landmarks = np.where(valid[:, None, None], np.zeros((4, 68, 2)), np.nan)
    track = FaceTrack(landmarks, quads, valid, 180, 240, Fraction(25))
    crops = torch.stack([torch.full((3, SIZE, SIZE), -1.0), torch.full((3, SIZE, SIZE), 1.0)])
    pasted = paste_faces(iter(frames), crops, track, disc(0.4).expand(2, -1, -1, -1))
    assert np.array_equal(pasted[1:3], frames[1:3])
    assert mask_in_frames(track, disc(0.4).expand(2, -1, -1, -1)).any(axis=(1, 2)).tolist() == valid.tolist()
    assert (pasted[0, 92, 118] == 0).all() and (pasted[3, 92, 118] == 255).all()


def test_an_empty_mask_and_a_face_outside_the_frame_change_nothing():
    frames = noise_frames()
    crops = torch.ones(1, 3, SIZE, SIZE)
    nothing = paste_faces(frames, crops, one_face(frames[0], QUADS["enlarged"]), torch.zeros(1, 1, SIZE, SIZE))
    outside = paste_faces(frames, crops, one_face(frames[0], square((-900.0, 20.0), 50.0, 3.0)), disc(0.4))
    assert np.array_equal(nothing, frames) and np.array_equal(outside, frames)


def test_numbers_that_do_not_fit_are_told():
    frames, crops = noise_frames(), torch.ones(1, 3, SIZE, SIZE)
    track = one_face(frames[0], QUADS["enlarged"])
    with pytest.raises(DvaError, match="1 frames with a face"):
        paste_faces(frames, crops.expand(2, -1, -1, -1), track, disc(0.4))
    with pytest.raises(DvaError, match="1 frames, but 2"):
        paste_faces(noise_frames(2), crops, track, disc(0.4))
    with pytest.raises(DvaError, match="1 frames with a face"):
        mask_in_frames(track, disc(0.4).expand(2, -1, -1, -1))


def test_frames_and_masks_of_another_kind_or_size_are_told():
    frames, crops = noise_frames(), torch.ones(1, 3, SIZE, SIZE)
    track = one_face(frames[0], QUADS["enlarged"])
    for wrong in (frames[:, :90], frames[..., :1], frames.astype(np.float64)):
        with pytest.raises(DvaError, match=r"needs frames uint8 or float32 \[180, 240, 3\]"):
            paste_faces(wrong, crops, track, disc(0.4))
    with pytest.raises(DvaError, match=r"must be \[1, 180, 240\]"):
        paste_faces(frames, crops, track, disc(0.4), frame_mask=np.ones((1, 64, 64), np.float32))
