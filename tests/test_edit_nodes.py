"""What artists get from the nodes that edit: the shipped clip, and what is done to the person in it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from .clip_files import TINY_CLIP, no_connections, write_tiny_clip
from .host import object_info
from .node_pack import EDIT, FIND, INVERT, SWEEP, WEIGHTS, encoded, loaded_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    with loaded_pack(tmp_path_factory.mktemp("host")) as pack, no_connections():
        yield pack


@pytest.fixture(scope="module")
def clip(pack):
    return encoded(pack)


@pytest.fixture(scope="module")
def other(pack, clip):
    """Somebody else, in as many frames."""
    return encoded(pack, person="second person")


def edit(pack, clip, identity=None, **changed):
    identity = clip.identity if identity is None else identity
    return pack.run("EditAttribute", model=clip.model, identity=identity, **{**EDIT, **changed})[0]


def curve(pack, track, **changed):
    return pack.run("EditCurve", track=track, **{"key_frames": "0:0, 2:1", "interpolation": "linear", **changed})[0]


# --- what an edit leaves alone ---


def test_what_is_preserved_does_not_move(pack, clip):
    (preserve,) = pack.run("Preserve", attributes=["Wearing_Hat", "Pale_Skin"])
    table = clip.model.ready().attributes
    rows = table.weight[[table.row("Wearing_Hat"), table.row("Pale_Skin")]]

    def moved(**more) -> float:
        change = edit(pack, clip, attribute="Bald", **more).features - clip.identity.features
        return float(((change / table.std) @ rows.T).abs().max())

    assert moved(preserve=preserve) < 1e-3 < moved()


def test_nothing_is_preserved_when_nothing_is_chosen(pack, clip):
    (preserve,) = pack.run("Preserve", attributes=[])
    assert torch.equal(edit(pack, clip, preserve=preserve).features, edit(pack, clip).features)


# --- over time ---


@pytest.fixture(scope="module")
def with_a_gap(pack, clip):
    """The track of five frames, the second and third without a face."""
    images = torch.cat([clip.images[:1], torch.zeros_like(clip.images[:2]), clip.images[1:]])
    return pack.align(clip.model, images)[0]


def test_a_curve_has_a_strength_for_each_frame_with_a_face(pack, with_a_gap):
    assert curve(pack, with_a_gap, key_frames="0:0, 4:1") == (0.0, 0.75, 1.0)
    assert curve(pack, with_a_gap, key_frames="0:0, 4:1", interpolation="smooth") == (0.0, 0.84375, 1.0)


def test_numbers_of_another_node_take_the_place_of_key_frames(pack, with_a_gap):
    assert curve(pack, with_a_gap, float_list=[0.1, 0.2, 0.3, 0.4, 0.5]) == (0.1, 0.4, 0.5)


def test_the_hosts_own_curve_runs_over_the_whole_clip(pack, with_a_gap):
    class Straight:
        """As the host's curves are: samples, evenly spaced, from left to right."""

        def to_lut(self, size):
            return np.linspace(0.0, 1.0, size)

    assert curve(pack, with_a_gap, curve=Straight()) == (0.0, 0.75, 1.0)


def test_an_edit_grows_in_from_nothing_to_all_of_it(pack, clip):
    grown = edit(pack, clip, strengths=curve(pack, clip.track))
    assert torch.equal(grown.features[:1], clip.identity.features)
    assert torch.equal(grown.features[2:], edit(pack, clip).features)
    crops = pack.decode(clip.model, clip.noise, grown)
    change = (crops - clip.crops).abs().mean(dim=(1, 2, 3))
    assert change[0] < 1e-6 < change[1] < change[2]


@pytest.mark.parametrize("method", ["to class", "along, normalised", "along, plain"])
def test_every_method_can_grow_in(pack, clip, method):
    options = {"method": method, "strength": 0.3}
    grown = edit(pack, clip, strengths=(0.0, 0.5, 1.0), **options)
    assert torch.equal(grown.features[2:], edit(pack, clip, **options).features)
    assert torch.equal(grown.features[:1], clip.identity.features)


def test_an_edit_after_one_over_time_keeps_its_curve(pack, clip):
    beard = {"attribute": "No_Beard", "strength": -1.0}
    both = edit(pack, clip, edit(pack, clip, strengths=curve(pack, clip.track)), **beard)
    assert torch.allclose(both.features[:1], edit(pack, clip, **beard).features, atol=1e-5)
    assert torch.allclose(both.features[2:], edit(pack, clip, edit(pack, clip), **beard).features, atol=1e-5)
    assert not torch.allclose(both.features[0], both.features[2], atol=1e-3)


def test_two_edits_have_curves_of_their_own(pack, clip):
    up, down = (0.0, 0.5, 1.0), (1.0, 0.5, 0.0)
    both = edit(pack, clip, edit(pack, clip, strengths=up), attribute="Wearing_Hat", strengths=down)
    assert torch.allclose(both.features[:1], edit(pack, clip, attribute="Wearing_Hat").features, atol=1e-5)
    assert torch.allclose(both.features[2:], edit(pack, clip).features, atol=1e-5)


def test_rows_of_single_frames_are_still_averaged(pack, clip):
    grown = edit(pack, clip, clip.per_frame, strengths=(0.0, 0.0, 0.0))
    assert torch.equal(grown.features, clip.identity.features.expand(3, -1))


@pytest.mark.parametrize("node", ["Invert", "MixIdentities", "AverageIdentities", "SaveIdentity", "Sweep"])
def test_where_one_identity_is_needed_one_that_changes_is_refused(pack, clip, node):
    grown = edit(pack, clip, strengths=(0.0, 0.5, 1.0))
    inputs = {
        "Invert": {
            "model": clip.model, "crops": clip.crops, "identity": grown, "landmarks": clip.landmarks, **INVERT,
        },
        "MixIdentities": {"identity_a": clip.identity, "identity_b": grown, "amount": 0.5},
        "AverageIdentities": {"identity_1": grown, **WEIGHTS, "reject_outliers": True},
        "SaveIdentity": {"identity": grown, "filename_prefix": "grown"},
        "Sweep": {"model": clip.model, "noise": clip.noise, "identity": grown, **SWEEP},
    }  # fmt: skip
    with pytest.raises(ValueError, match="changes over time") as caught:
        pack.run(node, **inputs[node])
    assert type(caught.value).__name__ == "DvaError"


# --- two clips ---


def test_a_mix_runs_from_one_person_to_the_other(pack, clip, other):
    people = {"identity_a": clip.per_frame, "identity_b": other.identity}

    def mixed(amount: float) -> torch.Tensor:
        return pack.run("MixIdentities", **people, amount=amount)[0].features

    assert torch.equal(mixed(0.0), clip.identity.features) and torch.equal(mixed(1.0), other.identity.features)
    likeness = [torch.cosine_similarity(mixed(amount), other.identity.features) for amount in (0.0, 0.3, 0.6, 1.0)]
    assert likeness == sorted(likeness)


def move(pack, clip, driver, track, **changed):
    rates = {"fps": 25.0, "driver_fps": 25.0, "keep_proportions": True}
    inputs = {"noise": clip.noise, "track": clip.track, "driver_landmarks": driver, "driver_track": track}
    return pack.run("TransferMotion", **{**rates, **inputs, **changed})[0]


def test_a_clip_that_is_driven_by_itself_stays_as_it_is(pack, clip):
    for keep in (True, False):
        moved = move(pack, clip, clip.landmarks, clip.track, keep_proportions=keep)
        assert torch.allclose(pack.decode(clip.model, moved, clip.identity), clip.crops, atol=1e-6)


def test_somebody_moves_as_somebody_else_does(pack, clip, other):
    moved = move(pack, clip, other.landmarks, other.track, keep_proportions=False)
    assert torch.equal(moved.landmark_codes.codes, other.landmarks.codes)
    crops = pack.decode(clip.model, moved, clip.identity)
    (codes,) = pack.run("EncodeLandmarks", model=clip.model, crops=crops)
    before, after = ((each.codes - other.landmarks.codes).abs().mean() for each in (clip.landmarks, codes))
    assert after < 0.6 * before


def test_motion_keeps_its_time_through_gaps_and_other_frame_rates(pack, clip, with_a_gap):
    """The driver has a face in frames 0, 3 and 4 of five."""
    codes = clip.landmarks.codes
    moved = move(pack, clip, clip.landmarks, with_a_gap, keep_proportions=False)
    assert torch.allclose(moved.landmark_codes.codes[2], torch.lerp(codes[0], codes[1], 2 / 3), atol=1e-6)
    faster = move(pack, clip, clip.landmarks, with_a_gap, keep_proportions=False, driver_fps=50.0)
    assert torch.allclose(faster.landmark_codes.codes[2], codes[2], atol=1e-6)


def swap(pack, person, scene):
    who = {"identity": person.identity, "landmarks": person.landmarks, "track": person.track}
    where = {"background": scene.noise, "background_track": scene.track}
    return pack.run("SwapBackground", **who, **where, fps=25.0, background_fps=25.0)[0]


def test_somebody_in_their_own_surroundings_stays_as_they_are(pack, clip):
    assert torch.allclose(pack.decode(clip.model, swap(pack, clip, clip), clip.identity), clip.crops, atol=1e-6)


def test_somebody_is_seen_in_the_surroundings_of_another_clip(pack, clip, other):
    crops = pack.decode(clip.model, swap(pack, clip, other), clip.identity)
    images, _ = pack.paste(clip.model, other.images, crops, other.track)
    assert torch.equal(images[:, :8], other.images[:, :8])
    seen, _ = pack.run("EncodeIdentity", model=clip.model, crops=crops)
    to = [float(torch.cosine_similarity(seen.features, each.identity.features)) for each in (clip, other)]
    assert to[0] > to[1]


def test_the_pasting_mask_can_be_made_wider(pack, clip, other):
    crops = pack.decode(clip.model, move(pack, clip, other.landmarks, other.track), clip.identity)
    sizes = [pack.paste(clip.model, clip.images, crops, clip.track, grow=grow)[1].sum() for grow in (-0.06, 0.0, 0.06)]
    assert sizes[0] < sizes[1] < sizes[2]
    plain, _ = pack.paste(clip.model, clip.images, crops, clip.track)
    assert torch.equal(pack.paste(clip.model, clip.images, crops, clip.track, grow=0.0)[0], plain)


# --- many strengths ---


def test_a_sweep_shows_and_gives_every_strength(pack, clip):
    swept = {**SWEEP, "lowest": 0.0, "count": 3, "frames": 2}
    grid, batches, strengths = pack.run("Sweep", model=clip.model, noise=clip.noise, **swept)
    assert strengths == [0.0, 0.5, 1.0] and grid.shape[0] == 1 and grid.shape[-1] == 3
    assert [len(crops) for crops in batches] == [2, 2, 2]
    assert torch.allclose(batches[0], clip.crops[[0, 2]], atol=1e-6)
    alone = pack.decode(clip.model, clip.noise, edit(pack, clip))
    _, whole, _ = pack.run("Sweep", model=clip.model, noise=clip.noise, **{**swept, "whole_clips": True})
    assert torch.allclose(whole[2], alone, atol=1e-5) and torch.allclose(batches[2], alone[[0, 2]], atol=1e-5)


def test_a_sweep_starts_from_an_edit_and_preserves(pack, clip):
    (preserve,) = pack.run("Preserve", attributes=["Pale_Skin"])
    bald = edit(pack, clip, attribute="Bald")
    swept = {**SWEEP, "lowest": 1.0, "count": 1, "identity": bald, "preserve": preserve, "whole_clips": True}
    _, (crops,), _ = pack.run("Sweep", model=clip.model, noise=clip.noise, **swept)
    both = edit(pack, clip, bald, preserve=preserve)
    assert torch.allclose(crops, pack.decode(clip.model, clip.noise, both), atol=1e-5)


# --- words ---


@pytest.fixture(scope="module")
def judge(pack):
    """A CLIP of somebody's own in models/clip, its config beside it."""
    folder = pack.host.models / "clip"
    folder.mkdir(parents=True)
    write_tiny_clip(folder)
    shutil.copy(TINY_CLIP, folder / "tiny_clip.json")
    return pack.run("LoadClip", clip="tiny_clip.pt", architecture="tiny_clip.json", device="auto")[0]


@pytest.fixture(scope="module")
def found(pack, clip, judge):
    return pack.run("FindTextEdit", model=clip.model, clip=judge, noise=clip.noise, **FIND)


def apply(pack, identity, shift, strength=1.0, **more):
    return pack.run("ApplyTextEdit", identity=identity, shift=shift, strength=strength, **more)[0]


def test_clips_are_offered_and_models_are_not(pack, judge):
    offered = object_info(pack.classes)["DVA_LoadClip"]["input"]["required"]["clip"][1]["options"]
    assert offered == ["demo (built in)", "ViT-B-16.pt", "tiny_clip.pt", "tiny_clip.safetensors"]


def test_a_text_edit_is_found_and_says_how_well(pack, found):
    shift, report = found
    assert shift.name == "face -> face with a hat" and shift.name in report and "3 iterations" in report
    assert shift.features.abs().max() > 0


def test_a_search_shows_progress_and_pictures_of_it(pack, clip, judge, found):
    pack.host.forget()
    pack.run("FindTextEdit", model=clip.model, clip=judge, noise=clip.noise, **FIND)
    assert any(update.preview is not None for update in pack.host.progress)
    assert pack.host.progress[-1].value == pack.host.progress[-1].total == FIND["iterations"]
    assert pack.host.loaded[0]["memory_required"] > 1e6


def test_cancel_stops_a_search_within_an_iteration(pack, clip, judge):
    pack.host.forget()
    pack.host.cancel(after=1)
    with pytest.raises(pack.host.Interrupted):
        pack.run("FindTextEdit", model=clip.model, clip=judge, noise=clip.noise, **{**FIND, "iterations": 50})
    assert pack.host.cancel_checks == 2
    pack.host.forget()


def test_a_text_edit_is_applied_as_much_as_wanted(pack, clip, found):
    shift, _ = found
    assert torch.equal(apply(pack, clip.per_frame, shift, 0.0).features, clip.identity.features)
    half, whole = (apply(pack, clip.identity, shift, s).features - clip.identity.features for s in (0.5, 1.0))
    assert 0 < half.norm() < whole.norm()


def test_a_text_edit_grows_in_and_chains_with_other_edits(pack, clip, found):
    shift, _ = found
    grown = apply(pack, clip.identity, shift, strengths=curve(pack, clip.track))
    assert torch.equal(grown.features[:1], clip.identity.features)
    assert torch.equal(grown.features[2:], apply(pack, clip.identity, shift).features)
    assert edit(pack, clip, grown).features.shape == (3, 512)


def test_a_text_edit_preserves_attributes(pack, clip, found):
    table = clip.model.ready().attributes

    def along(name: str, **more) -> float:
        change = apply(pack, clip.identity, found[0], 1e-3, **more).features - clip.identity.features
        return float(((change / table.std) @ table.weight[table.row(name)]).abs())

    moved = max(table.names, key=along)
    (preserve,) = pack.run("Preserve", attributes=[moved])
    assert along(moved, preserve=preserve, model=clip.model) < 0.1 * along(moved)


def test_a_text_edit_that_was_saved_is_loaded_again(pack, found):
    shift, _ = found
    _, path = pack.run("SaveShift", shift=shift, filename_prefix="hat")
    assert path.endswith("dva/hat_00001.safetensors")
    again, name = pack.run("LoadShift", file="dva/hat_00001.safetensors [output]")
    assert torch.equal(again.features, shift.features) and name == shift.name
