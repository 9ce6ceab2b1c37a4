"""What artists get from the nodes: the shipped clip taken through them, in a stand-in host."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dva_core.diffusion import SOLVERS

from .host import NodeMisbehaved, object_info
from .host.loading import PACK
from .node_pack import WEIGHTS, encoded, loaded_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    with loaded_pack(tmp_path_factory.mktemp("host")) as pack:
        yield pack


@pytest.fixture(scope="module")
def clip(pack):
    return encoded(pack)


@pytest.fixture(scope="module")
def edited(pack, clip):
    """Crops with glasses."""
    return pack.decode(clip.model, clip.noise, pack.edit(clip.model, clip.identity, 1.0))


def test_the_demo_clip_has_pictures_sound_and_rate(pack):
    images, audio, fps = pack.run("DemoClip", clip="first person, with sound", frames=5)
    assert images.shape == (5, 192, 320, 3) and fps == 25
    assert audio["waveform"].shape == (1, 2, 5 * audio["sample_rate"] // 25)
    assert audio["waveform"].abs().max() > 0.01


def test_the_second_clip_shows_somebody_else_and_is_silent(pack, clip):
    images, audio, _ = pack.run("DemoClip", clip="second person", frames=2)
    assert audio["waveform"].abs().max() == 0
    _, crops, _, _ = pack.align(clip.model, images)
    other, _ = pack.run("EncodeIdentity", model=clip.model, crops=crops)
    assert torch.cosine_similarity(other.features, clip.identity.features) < 0.6


def test_strength_zero_gives_the_clip_back(pack, clip):
    identity = pack.edit(clip.model, clip.identity, 0.0)
    crops = pack.decode(clip.model, clip.noise, identity)
    assert torch.allclose(crops, clip.crops, atol=1e-6)
    images, _ = pack.paste(clip.model, clip.images, crops, clip.track)
    assert torch.allclose(images, clip.images, atol=1e-5)


def test_all_solvers_are_offered_and_the_default_is_the_exact_one_that_edits_well(pack):
    inputs = object_info(pack.classes)["DVA_Invert"]["input"]["required"]
    solver, steps = inputs["solver"][1], inputs["steps"][1]
    assert solver["options"] == list(SOLVERS) and solver["default"] == "residual" and steps["default"] == 10


@pytest.mark.parametrize("solver", SOLVERS)
def test_with_every_solver_an_edit_changes_the_face_and_no_edit_changes_nothing(pack, clip, solver):
    noise, reconstruction, _ = pack.invert(clip, solver=solver)
    assert torch.allclose(reconstruction, clip.crops, atol=1e-6) == SOLVERS[solver].exact
    assert torch.allclose(pack.decode(clip.model, noise, clip.identity), clip.crops, atol=1e-6)
    glasses = pack.decode(clip.model, noise, pack.edit(clip.model, clip.identity, 1.0))
    assert (glasses - clip.crops).abs().mean() > 0.005


def test_the_report_tells_what_an_inversion_costs_and_what_each_edit_of_it_will(pack, clip):
    _, _, report = pack.invert(clip, steps=10)
    assert "residual, 10 steps" in report and "exact" in report
    assert "11 to invert, then 10 for each edit" in report
    # The noise map, the picture and what the net named at 11 places: 13 maps of 64 x 64 x 3 float32.
    assert "0.64 MB a frame, 1.92 MB for 3 frames; 2.06 MB with the pictures" in report


def test_the_report_of_the_published_way_tells_what_it_loses(pack, clip):
    _, reconstruction, report = pack.invert(clip, solver="ddim")
    error = (reconstruction - clip.crops).square().mean()
    assert "5 to invert and 5 to see what is lost, then 5 for each edit" in report
    assert f"MSE {error:.1e}" in report and "exact" not in report


def test_stored_in_half_an_inversion_takes_half_the_memory_and_edits_alike(pack, clip):
    half, _, report = pack.invert(clip, storage="half")
    assert half.noise_maps.bytes_per_frame < 0.57 * clip.noise.noise_maps.bytes_per_frame
    assert f"{half.noise_maps.bytes_per_frame / 1e6:.2f} MB a frame" in report and "half precision" in report
    glasses = pack.edit(clip.model, clip.identity, 1.0)
    one, other = (pack.decode(clip.model, noise, glasses) for noise in (clip.noise, half))
    assert 0 < (one - other).abs().max() < 1 / 255


def test_less_detail_in_the_head_lets_an_edit_go_farther(pack, clip):
    glasses = pack.edit(clip.model, clip.identity, 1.0)

    def decode(detail: str) -> torch.Tensor:
        return pack.decode(clip.model, clip.noise, glasses, detail_in_head=detail)

    assert torch.equal(decode("automatic"), pack.decode(clip.model, clip.noise, glasses))
    change = [float((decode(detail) - clip.crops).abs().mean()) for detail in ("all", "half", "none")]
    assert change == sorted(change) and len(set(change)) == 3


def test_an_edit_changes_the_face_and_not_one_bit_outside_the_mask(pack, clip, edited):
    images, mask = pack.paste(clip.model, clip.images, edited, clip.track)
    changed = (images != clip.images).any(-1)
    assert images.shape == clip.images.shape and mask.shape == images.shape[:3]
    assert not (changed & (mask == 0)).any()
    assert changed.float().mean() > 0.005


def test_alpha_passes_through_untouched(pack, clip, edited):
    alpha = torch.rand(*clip.images.shape[:3], 1)
    images, _ = pack.paste(clip.model, torch.cat([clip.images, alpha], -1), edited, clip.track)
    assert torch.equal(images[..., 3:], alpha)


def test_a_mask_of_the_frames_limits_where_they_change(pack, clip, edited):
    left_half = torch.zeros(1, *clip.images.shape[1:3])
    left_half[:, :, :160] = 1
    images, mask = pack.paste(clip.model, clip.images, edited, clip.track, mask=left_half)
    assert torch.equal(images[:, :, 160:], clip.images[:, :, 160:]) and mask[:, :, 160:].max() == 0
    assert not torch.equal(images[:, :, :160], clip.images[:, :, :160])


def test_a_mask_of_the_crops_stands_in_for_the_head(pack, clip, edited):
    (mask,) = pack.run("FaceMask", model=clip.model, crops=edited, parts=["hair"], grow=0, feather=0)
    _, only_hair = pack.paste(clip.model, clip.images, edited, clip.track, mask=mask)
    _, head = pack.paste(clip.model, clip.images, edited, clip.track)
    assert 0 < only_hair.sum() < head.sum()


def test_masks_grow_and_soften(pack, clip):
    def mask(grow: int, feather: int) -> torch.Tensor:
        return pack.run("FaceMask", model=clip.model, crops=clip.crops, parts=["skin"], grow=grow, feather=feather)[0]

    assert mask(-1, 0).sum() < mask(0, 0).sum() < mask(2, 0).sum()
    assert set(mask(0, 0).unique().tolist()) == {0.0, 1.0} and len(mask(0, 3).unique()) > 4


def test_edits_are_chained(pack, clip):
    glasses = pack.edit(clip.model, clip.identity, 1.0)
    both = pack.edit(clip.model, glasses, -1.0, attribute="No_Beard")
    assert not torch.allclose(both.features, glasses.features)


def test_crops_are_shown_while_they_are_decoded(pack, clip):
    glasses = pack.edit(clip.model, clip.identity, 1.0)
    pack.host.forget()
    pack.decode(clip.model, clip.noise, glasses, frames_per_batch=1)
    previews = [update.preview for update in pack.host.progress if update.preview is not None]
    assert len(previews) == len(clip.crops)
    assert pack.host.progress[-1].value == pack.host.progress[-1].total == len(clip.crops) * clip.noise.noise_maps.steps


@pytest.mark.parametrize("node", ["Invert", "Decode"])
def test_cancel_stops_within_a_step(pack, clip, node):
    glasses = pack.edit(clip.model, clip.identity, 1.0)
    pack.host.forget()
    pack.host.cancel(after=2)
    with pytest.raises(pack.host.Interrupted):
        if node == "Decode":
            pack.decode(clip.model, clip.noise, glasses)
        else:
            pack.invert(clip)
    assert pack.host.cancel_checks == 3
    pack.host.forget()


def test_the_model_asks_the_host_for_memory(pack, clip):
    pack.host.forget()
    pack.decode(clip.model, clip.noise, clip.identity)
    assert pack.host.loaded[0]["memory_required"] > 1e6


def test_a_bundle_in_the_models_folder_is_offered_and_loaded(pack, clip):
    from .node_pack import ROOT

    folder = pack.host.models / "dva"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.safetensors").write_bytes((ROOT / "dva_core/weights/demo.safetensors").read_bytes())
    assert "mine.safetensors" in object_info(pack.classes)["DVA_LoadModel"]["input"]["required"]["model"][1]["options"]
    (model,) = pack.run("LoadModel", model="mine.safetensors", precision="bfloat16", device="cpu")
    glasses = pack.edit(clip.model, clip.identity, 1.0)
    crops = pack.decode(model, clip.noise, glasses, keep_detail=False)
    assert 0 < (crops - pack.decode(clip.model, clip.noise, glasses, keep_detail=False)).abs().mean() < 0.02


def test_identities_are_averaged_by_weight(pack, clip):
    people = {"identity_1": clip.per_frame, "identity_2": pack.edit(clip.model, clip.identity, 1.0)}
    (only_first,) = pack.run("AverageIdentities", **people, **{**WEIGHTS, "weight_2": 0.0}, reject_outliers=False)
    assert torch.allclose(only_first.features, clip.identity.features, atol=1e-6)


def test_what_was_saved_is_loaded_again(pack, clip):
    _, path = pack.run("SaveIdentity", identity=clip.identity, filename_prefix="anna")
    assert path.endswith("dva/anna_00001.safetensors")
    _, second = pack.run("SaveIdentity", identity=clip.identity, filename_prefix="anna")
    assert second.endswith("anna_00002.safetensors")
    (identity,) = pack.run("LoadIdentity", file="dva/anna_00001.safetensors [output]")
    assert torch.equal(identity.features, clip.identity.features)

    pack.run("SaveNoise", noise=clip.noise, filename_prefix="take")
    noise, identity, crops = pack.run("LoadNoise", file="dva/take_00001.safetensors [output]")
    assert torch.equal(noise.noise_maps.x_T, clip.noise.noise_maps.x_T)
    assert torch.allclose(crops, clip.crops, atol=1e-6)


@pytest.mark.parametrize(
    "solver, storage", [("residual", "full"), ("residual", "half"), ("o_belm", "half"), ("ddim", "full")]
)
def test_a_saved_inversion_is_edited_as_the_one_that_was_saved(pack, clip, solver, storage):
    noise, _, _ = pack.invert(clip, solver=solver, storage=storage)
    _, path = pack.run("SaveNoise", noise=noise, filename_prefix="inversion")
    loaded, identity, _ = pack.run("LoadNoise", file=f"dva/{Path(path).name} [output]")
    assert torch.equal(identity.features, clip.identity.features)
    glasses = pack.edit(clip.model, identity, 1.0)
    before, after = (pack.decode(clip.model, each, glasses) for each in (noise, loaded))
    assert torch.equal(before, after)


def test_frames_without_a_face_are_reported_and_passed_through(pack, clip):
    images = torch.cat([clip.images[:1], torch.zeros_like(clip.images[:2]), clip.images[1:]])
    track, crops, _, report = pack.align(clip.model, images)
    assert track.valid.tolist() == [True, False, False, True, True] and len(crops) == 3
    assert "1-2" in report
    pasted, _ = pack.paste(clip.model, images, 1 - crops, track)
    assert torch.equal(pasted[1:3], images[1:3]) and not torch.equal(pasted[0], images[0])


def test_missing_frames_can_be_interpolated(pack, clip):
    images = torch.cat([clip.images[:1], torch.zeros_like(clip.images[:1]), clip.images[1:]])
    track, crops, _, _ = pack.align(clip.model, images, missing_frames="interpolate")
    assert track.valid.all() and len(crops) == 4


def test_the_person_is_chosen_by_number_place_or_likeness(pack, clip):
    both = torch.cat([clip.images, clip.images.flip(2)], dim=2)
    places = {}
    for name, choice in {
        "first": {"which_face": "by number", "number": 1},
        "second": {"which_face": "by number", "number": 2},
        "right": {"which_face": "nearest to point", "x": 0.9},
        "alike": {"which_face": "most like reference", "reference": clip.images[:1]},
    }.items():
        track, *_ = pack.align(clip.model, both, **choice)
        places[name] = float(np.nanmean(track.quads[..., 0]))
    assert places["first"] < both.shape[2] / 2 < places["second"] == places["right"]
    assert places["alike"] in (places["first"], places["second"])


def test_a_connected_detector_is_used_instead_of_the_models_own(pack, clip, tmp_path):
    pytest.importorskip("insightface")
    from .onnx_files import write_detector, write_landmarks

    write_detector(tmp_path / "det.onnx", half_side=60)
    face = clip.track.landmarks[0]
    face = (face - face.mean(0)) / np.ptp(face[:, 0])
    write_landmarks(tmp_path / "1k3d68.onnx", face)
    loader = importlib.import_module(f"{PACK}.dva_core.detectors.insightface")
    images = torch.zeros(3, 240, 320, 3)
    images[:, 128:144, 224:240, 0] = 1  # what this detector takes for a face
    options = {"detector": loader.load_insightface(tmp_path)}
    track, crops, _, _ = pack.align(clip.model, images, **options)
    assert track.valid.all() and crops.shape == clip.crops.shape
    # Its box is 60 pixels to each side of a picture twice as large, and the landmark net looks at 1.5 times that.
    np.testing.assert_allclose(track.landmarks[0], [224, 128] + face * 1.5 * 60 / 2, atol=0.5)
    alike, *_ = pack.align(clip.model, images, which_face="most like reference", reference=images[:1], **options)
    assert np.array_equal(alike.quads, track.quads)


def test_a_face_is_followed_no_further_than_its_shot(pack, clip):
    first, _, _ = pack.run("DemoClip", clip="first person, with sound", frames=6)
    second, _, _ = pack.run("DemoClip", clip="second person", frames=4)
    images = torch.cat([first, second])
    track, crops, _, report = pack.align(clip.model, images)
    assert track.valid.tolist() == [True] * 6 + [False] * 4 and "6-9" in report
    pasted, _ = pack.paste(clip.model, images, 1 - crops, track)
    assert torch.equal(pasted[6:], second) and not torch.equal(pasted[:6], first)
    held, *_ = pack.align(clip.model, images, missing_frames="hold")
    assert held.valid.tolist() == track.valid.tolist()


def test_points_lead_to_a_track_without_a_detector(pack, clip):
    landmarks = clip.track.landmarks[0]
    named = landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[48], landmarks[54], landmarks[30]
    text = "\n".join(f"{x:.1f}, {y:.1f}" for x, y in named)
    pack.host.forget()
    points, overlay = pack.run("TrackFaceByPoints", images=clip.images, points=text)
    assert pack.host.progress[-1].value == pack.host.progress[-1].total == len(clip.images)
    track, crops, _, _ = pack.align(clip.model, clip.images, points=points)
    assert crops.shape == clip.crops.shape and overlay.shape == clip.images.shape
    side = np.linalg.norm(clip.track.quads[:, 0] - clip.track.quads[:, 3], axis=-1)
    assert (np.linalg.norm(track.quads - clip.track.quads, axis=-1) < 0.12 * side[:, None]).all()


def test_the_report_tells_how_steady_the_edit_is(pack, clip, edited):
    plot, text = pack.run("TemporalReport", source_crops=clip.crops, edited_crops=edited)
    assert "TL-ID" in text and plot.shape[0] == 1 and plot.shape[-1] == 3
    _, same = pack.run("TemporalReport", source_crops=clip.crops, edited_crops=clip.crops)
    assert "1.0000 / 1.0000" in same


def test_inputs_are_never_written_into(pack, clip, edited):
    """The stand-in compares every input before and after and raises NodeMisbehaved."""
    try:
        pack.paste(clip.model, clip.images, edited, clip.track, colour_match=1.0)
        pack.paste(clip.model, clip.images, edited, clip.track, replace=True)
    except NodeMisbehaved as error:
        pytest.fail(str(error))
