"""Every wrong input ends in one sentence that says what is wrong and what to do, never in something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from .comfyui_footage import hide_fetched_weights
from .host import InputRefused
from .node_pack import EDIT, FIND, SWEEP, Encoded, Pack, encoded, loaded_pack

PUBLISHED = "diffusion_video_autoencoder.safetensors"

Wrong = Callable[[Pack, Encoded], object]


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    with loaded_pack(tmp_path_factory.mktemp("host")) as pack, pytest.MonkeyPatch.context() as monkeypatch:
        hide_fetched_weights(monkeypatch, tmp_path_factory.mktemp("home"))
        yield pack


@pytest.fixture(scope="module")
def clip(pack):
    return encoded(pack)


def detail_of_another_solver(pack: Pack, clip: Encoded):
    noise, _, _ = pack.invert(clip, solver="ddim")
    return pack.decode(clip.model, noise, pack.edit(clip.model, clip.identity, 1.0), detail_in_head="none")


def corrupt_bundle(pack: Pack, clip: Encoded):
    folder = pack.host.models / "dva"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.safetensors").write_bytes(b"not a model at all")
    return pack.run("LoadModel", model="broken.safetensors", precision="float32", device="auto")


def load_detector(pack: Pack, name: str):
    return pack.run("LoadFaceDetector", detector=name, device="cpu")


def other_weights(pack: Pack, clip: Encoded):
    folder = pack.host.models / "insightface" / "models" / "buffalo_s"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("det_500m", "w600k_mbf", "1k3d68", "2d106det", "genderage"):
        (folder / f"{name}.onnx").write_bytes(b"not the published net")
    return load_detector(pack, "insightface-buffalo_s")


def without_detector(pack: Pack, clip: Encoded):
    (model,) = pack.run("LoadModel", model="demo (built in)", precision="float32", device="cpu")
    model.ready().detector_net = None
    return pack.align(model, clip.images)


def middle_missing(pack: Pack, clip: Encoded):
    images = torch.cat([clip.images[:1], torch.zeros_like(clip.images[:1]), clip.images[2:]])
    return pack.align(clip.model, images, missing_frames="error")


def nan_pixels(pack: Pack, clip: Encoded):
    images = clip.images.clone()
    images[1, 5, 5] = float("nan")
    return pack.align(clip.model, images)


def edit(pack: Pack, clip: Encoded, **changed):
    return pack.run("EditAttribute", **{"model": clip.model, "identity": clip.identity, **EDIT, **changed})


def curve(pack: Pack, clip: Encoded, **changed):
    return pack.run("EditCurve", track=clip.track, **{"key_frames": "0:0", "interpolation": "smooth", **changed})


def two_identities_of(pack: Pack, clip: Encoded, model: str):
    people = {"identity_a": clip.identity, "identity_b": replace(clip.identity, model=model)}
    return pack.run("MixIdentities", **people, amount=0.5)


def move(pack: Pack, clip: Encoded, **changed):
    driver = {"driver_landmarks": clip.landmarks, "driver_track": clip.track, "driver_fps": 25.0}
    moved = {"noise": clip.noise, "track": clip.track, "fps": 25.0, "keep_proportions": True}
    return pack.run("TransferMotion", **{**driver, **moved, **changed})


def other_frames(clip: Encoded):
    """A track with a face in one frame less."""
    return replace(clip.track, valid=clip.track.valid & ([False] + [True] * (len(clip.track.valid) - 1)))


def load_clip(pack: Pack, name: str, architecture: str = "ViT-B-16"):
    return pack.run("LoadClip", clip=name, architecture=architecture, device="cpu")


def text_encoder(pack: Pack, clip: Encoded):
    folder = pack.host.models / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"text_model.weight": torch.zeros(2, 2)}, folder / "clip_l.safetensors")
    return load_clip(pack, "clip_l.safetensors")


def find_text_edit(pack: Pack, clip: Encoded, **changed):
    """With a picture in the place of a CLIP."""
    inputs = {"model": clip.model, "clip": clip.images, "noise": clip.noise}
    return pack.run("FindTextEdit", **inputs, **{**FIND, **changed})


def shift_of_another_model(pack: Pack, clip: Encoded):
    from dva_core.values import IdentityShift

    folder = pack.host.output / "dva"
    folder.mkdir(exist_ok=True)
    IdentityShift(torch.ones(1, 512), "another", "face -> hat").save(folder / "hat.safetensors")
    shift, _ = pack.run("LoadShift", file="dva/hat.safetensors [output]")
    return pack.run("ApplyTextEdit", identity=clip.identity, shift=shift, strength=1.0)


WRONG: dict[str, tuple[Wrong, str]] = {
    "a model that is not there": (
        lambda p, c: p.run("LoadModel", model="gone.safetensors", precision="float32", device="auto"),
        "models/dva",
    ),
    "a corrupt bundle": (corrupt_bundle, "damaged"),
    "the published model before it is fetched": (
        lambda p, c: p.run("LoadModel", model=PUBLISHED, precision="float32", device="auto"),
        "`dva models get dva-checkpoint dva-classifier`",
    ),
    "a face detector before it is fetched": (
        lambda p, c: load_detector(p, "insightface"),
        "`dva models get insightface-buffalo_l`",
    ),
    "face detector weights that are not the published ones": (other_weights, "det_500m.onnx"),
    "a model without a face detector, and no other": (without_detector, "Load Face Detector"),
    "a picture where the face detector belongs": (
        lambda p, c: p.align(c.model, c.images, detector=c.images),
        "Load Face Detector",
    ),
    "no face in any frame": (lambda p, c: p.align(c.model, torch.full((2, 64, 64, 3), 0.5)), "No face"),
    "a face missing in the middle": (middle_missing, "1"),
    "pixels that are no numbers": (nan_pixels, "Frame 1"),
    "frames of 8 pixels": (lambda p, c: p.align(c.model, torch.rand(2, 8, 8, 3)), "No face"),
    "a grey picture": (lambda p, c: p.align(c.model, torch.rand(2, 64, 64, 1)), "IMAGE"),
    "no frames": (lambda p, c: p.align(c.model, torch.zeros(0, 64, 64, 3)), "no frames"),
    "a picture where the model belongs": (lambda p, c: p.align(c.images, c.images), "Load DVA Model"),
    "a number of a face that is not there": (
        lambda p, c: p.align(c.model, c.images, which_face="by number", number=7),
        "7",
    ),
    "likeness without a reference": (
        lambda p, c: p.align(c.model, c.images, which_face="most like reference"),
        "reference",
    ),
    "a landmark value of another node": (
        lambda p, c: p.align(c.model, c.images, face_landmarks={"faces": []}),
        "face_landmarks",
    ),
    "points of another clip": (
        lambda p, c: p.align(
            c.model, c.images, points={"track_path": torch.zeros(9, 4, 2), "track_visibility": torch.ones(9, 4)}
        ),
        "points",
    ),
    "points that are no numbers": (
        lambda p, c: p.run("TrackFaceByPoints", images=c.images, points="left eye"),
        "two numbers",
    ),
    "too few points": (lambda p, c: p.run("TrackFaceByPoints", images=c.images, points="10, 10\n20, 10"), "four"),
    "crops that are not square": (lambda p, c: p.invert(c, crops=c.images), "square"),
    "crops of another size": (lambda p, c: p.invert(c, crops=torch.rand(3, 32, 32, 3)), "64"),
    "landmarks of fewer frames": (lambda p, c: p.invert(c, crops=c.crops[:2]), "as many"),
    "steps that do not fit": (lambda p, c: p.invert(c, steps=300), "250 or 334"),
    "a solver that is not there": (lambda p, c: p.invert(c, solver="euler"), "'residual', 'ddim'"),
    "a share of detail with a solver that keeps none": (detail_of_another_solver, "Only the solver residual"),
    "an identity of another model": (
        lambda p, c: p.decode(c.model, c.noise, replace(c.identity, model="other")),
        "other",
    ),
    "an attribute that the model does not know": (
        lambda p, c: p.edit(c.model, c.identity, 1.0, attribute="Wearing_Necktie"),
        "Eyeglasses",
    ),
    "a track of other frames": (lambda p, c: p.paste(c.model, c.images[:, :100], c.crops, c.track), "192"),
    "too few crops to paste": (lambda p, c: p.paste(c.model, c.images, c.crops[:1], c.track), "crops"),
    "a mask of no known size": (
        lambda p, c: p.paste(c.model, c.images, c.crops, c.track, mask=torch.ones(1, 10, 10)),
        "mask",
    ),
    "reports of different clips": (
        lambda p, c: p.run("TemporalReport", source_crops=c.crops, edited_crops=c.crops[:2]),
        "same",
    ),
    "an edit of what is preserved": (
        lambda p, c: edit(p, c, preserve=p.run("Preserve", attributes=["Eyeglasses"])[0]),
        "preserved",
    ),
    "something preserved that the model does not know": (
        lambda p, c: edit(p, c, preserve=p.run("Preserve", attributes=["Wearing_Necktie"])[0]),
        "Wearing_Necktie",
    ),
    "a picture where the curve belongs": (lambda p, c: edit(p, c, strengths=c.images), "Edit Curve"),
    "two curves of different clips in a chain": (
        lambda p, c: edit(p, c, identity=edit(p, c, strengths=(0.0, 1.0))[0], strengths=(0.0, 0.5, 1.0)),
        "3 crops",
    ),
    "a curve of another clip": (
        lambda p, c: p.decode(c.model, c.noise, edit(p, c, strengths=(0.0, 1.0))[0]),
        "2 identities",
    ),
    "key frames that are none": (lambda p, c: curve(p, c, key_frames="from 0 to 1"), "0:0"),
    "key frames out of order": (lambda p, c: curve(p, c, key_frames="9:0, 3:1"), "rise"),
    "numbers for too few frames": (lambda p, c: curve(p, c, float_list=[0.5]), "1 strengths for 3 frames"),
    "a picture where a curve of the host belongs": (lambda p, c: curve(p, c, curve=c.images), "Curve Editor"),
    "a curve and numbers at once": (lambda p, c: curve(p, c, curve=c.images, float_list=[0.5]), "both"),
    "people of different models to mix": (lambda p, c: two_identities_of(p, c, "other"), "other"),
    "the track of another clip to move": (lambda p, c: move(p, c, track=other_frames(c)), "'track'"),
    "the track of another driver": (lambda p, c: move(p, c, driver_track=other_frames(c)), "3 landmark codes"),
    "a frame rate of nothing": (lambda p, c: move(p, c, fps=0.0), "fps"),
    "a sweep over something unknown": (
        lambda p, c: p.run("Sweep", model=c.model, noise=c.noise, **{**SWEEP, "attribute": "Wearing_Necktie"}),
        "Eyeglasses",
    ),
    "OpenAI's CLIP before it is fetched": (
        lambda p, c: load_clip(p, "ViT-B-16.pt"),
        "`dva models get openclip-vit-b-16-openai`",
    ),
    "a CLIP that is not there": (lambda p, c: load_clip(p, "gone.pt"), "models/clip"),
    "a text encoder where a CLIP belongs": (text_encoder, "clip_l.safetensors"),
    "a picture where a CLIP belongs": (find_text_edit, "Load CLIP for Text Edit"),
    "the same text twice": (lambda p, c: find_text_edit(p, c, target_text="face "), "say the same"),
    "a text edit of another model": (shift_of_another_model, "another"),
    "a file that was never saved": (lambda p, c: p.run("LoadNoise", file="(save one first)"), "save"),
    "a file name with a path in it": (
        lambda p, c: p.run("SaveIdentity", identity=c.identity, filename_prefix="../../evil"),
        "letters",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_input_is_a_sentence(pack, clip, wrong):
    call, word = wrong
    with pytest.raises((ValueError, InputRefused)) as caught:
        call(pack, clip)
    text = str(caught.value)
    assert word in text and len(text) > 30, text
    # The engine's own error, or the server's refusal before the run: not whatever a library happened to raise.
    assert type(caught.value).__name__ in ("DvaError", "InputRefused"), repr(caught.value)


def test_a_clip_of_one_frame_works(pack, clip):
    one = encoded(pack, frames=1)
    crops = pack.decode(one.model, one.noise, pack.edit(one.model, one.identity, 1.0))
    images, _ = pack.paste(one.model, one.images, crops, one.track)
    assert images.shape == one.images.shape
    _, text = pack.run("TemporalReport", source_crops=one.crops, edited_crops=crops)
    assert "two frames" in text
