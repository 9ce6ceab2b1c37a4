"""Many edits of one clip, decoded together."""

from __future__ import annotations

import pytest
import torch

from dva_core.editing.sweep import sweep_clip
from dva_core.errors import Cancelled, DvaError
from dva_core.pipeline import decode_clip, encode_clip
from dva_core.values import EncodedClip, Identity

from .tiny_model import crops, tiny_model

STEPS = 4


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def clip(model) -> EncodedClip:
    return encode_clip(model, crops(), STEPS)


@pytest.fixture(scope="module")
def identities(clip) -> list[Identity]:
    """Two other people, and a third who changes from frame to frame."""
    frames = len(clip.crops)
    return [Identity(torch.randn(n, 512, generator=torch.Generator().manual_seed(n)), "tiny") for n in (1, 1, frames)]


@pytest.mark.parametrize("keep_detail", [True, False])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_together_they_come_out_as_alone(model, clip, identities, keep_detail, batch_size):
    together = sweep_clip(model, clip, identities, keep_detail=keep_detail, batch_size=batch_size)
    alone = torch.stack([decode_clip(model, clip, each, keep_detail=keep_detail) for each in identities])
    assert together.shape == (3, *clip.crops.shape)
    assert torch.allclose(together, alone, atol=1e-4)


def test_the_clip_s_own_identity_among_others_gives_the_source_back_bit_for_bit(model, clip, identities):
    own = clip.identity.mean()
    assert torch.equal(sweep_clip(model, clip, [identities[0], own], batch_size=3)[1], clip.crops)
    plain = sweep_clip(model, clip, [own, identities[0]], keep_detail=False)[0]
    assert torch.allclose(plain, decode_clip(model, clip, own, keep_detail=False), atol=1e-4)


def test_only_frames_that_change_are_decoded(model, clip, identities):
    own = clip.identity.mean().features
    late = Identity(torch.cat([own.expand(3, -1), identities[2].features[3:]]), "tiny")
    seen = []
    sweep_clip(model, clip, [late, identities[0]], progress=lambda *now: seen.append(now))
    changed = 2 + len(clip.crops)
    assert seen[-1] == ("decode", changed * STEPS, changed * STEPS)


def test_batches_run_over_edits_and_frames_alike(model, clip, identities):
    seen = []
    sweep_clip(model, clip, identities[:2], batch_size=10, progress=lambda _, done, __: seen.append(done))
    assert seen == [10, 20, 30, 40]


def test_a_sweep_can_be_cancelled(model, clip, identities):
    with pytest.raises(Cancelled, match="decode"):
        sweep_clip(model, clip, identities, cancelled=lambda: True)


def test_nobody_is_refused(model, clip):
    with pytest.raises(DvaError, match="at least one"):
        sweep_clip(model, clip, [])
