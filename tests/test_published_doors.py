"""A model with the published encoders in every door that a terminal and Python have.

Untrained, with a small noise estimator: the weights cannot be shipped. What is tested is that a converted model, which
has no detector and does not know how far its directions reach, needs nothing that it lacks.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dva_core import edit_video, load_detector, load_model, video
from dva_core.autoencoder import DiffusionVideoAutoencoder, ModelConfig
from dva_core.cli import main
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.unet import UNetConfig
from dva_core.weights.bundle import save_bundle

from .pictures import face_points
from .sentences import one_sentence

pytest.importorskip("facexlib")
pytest.importorskip("torchvision")

CONFIG = ModelConfig(
    name="small-published",
    unet=UNetConfig(
        image_size=32, model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(8,),
        embed_channels=16, dropout=0.0,
    ),
    identity={"kind": "arcface-ir-se50"},
    landmarks={"kind": "mobilenetv2-gdconv"},
    parser={"kind": "bisenet"},
    detector=None,
)  # fmt: skip
FRAMES = 2


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch) -> None:
    """The computer of somebody who has fetched no weight file."""
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "small-published.safetensors"
    save_bundle(untrained(), path, summary={}, licence="not stated", provenance="converted")
    return path


def untrained() -> DiffusionVideoAutoencoder:
    """Weights by chance, and directions as the conversion leaves them."""
    torch.manual_seed(0)
    with torch.device("meta"):  # the nets' own way of drawing their 60 million weights takes several seconds
        model = DiffusionVideoAutoencoder(CONFIG)
    model.load_state_dict({name: numbers(name, tensor) for name, tensor in model.state_dict().items()}, assign=True)
    return model.eval().requires_grad_(False)


def numbers(name: str, like: torch.Tensor) -> torch.Tensor:
    if name.startswith("attributes."):
        return directions(name.removeprefix("attributes."), like)
    if like.ndim > 1:
        return torch.randn(like.shape) * like[0].numel() ** -0.5
    ones = name.endswith(("weight", "running_var"))
    return torch.full(like.shape, 1 if ones else 0, dtype=like.dtype)


def directions(name: str, like: torch.Tensor) -> torch.Tensor:
    known = {
        "weight": torch.randn(like.shape),
        "mean": 0.01 * torch.randn(like.shape),
        "std": 0.03 + 0.02 * torch.rand(like.shape),
        "trained": torch.ones(like.shape, dtype=torch.bool),
    }
    return known.get(name, torch.full(like.shape, torch.nan))


@pytest.fixture(scope="module")
def rendered():
    return render_clip(HELD_OUT_SEEDS[3], frames=FRAMES, height=96, width=96)


@pytest.fixture(scope="module")
def pictures(rendered, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "pictures"
    video.write_video(folder, rendered.frames, Fraction(25))
    return folder


@pytest.fixture
def edit(bundle, pictures, rendered, tmp_path):
    """Runs `dva edit` on the pictures with the eyes and corners of the mouth pointed at: (exit code, report, frames).

    `points`: what stands after --points instead, or None to give none.
    """
    places = [f"{x:.2f},{y:.2f}" for x, y in face_points(rendered.landmarks[0])]

    def run(*more: str, points: list[str] | None = places):
        target, report = tmp_path / "edited", tmp_path / "report.json"
        pointed = ["--points", *points] if points else []
        common = ["--model", str(bundle), "--device", "cpu", "--steps", "2", "--json", str(report)]
        code = main(["edit", str(pictures), str(target), *common, *pointed, *more])
        if code:
            assert not target.exists() and not report.exists()
            return code, None, None
        return code, json.loads(report.read_text()), np.stack(list(video.read_frames(target)))

    return run


# --- what opens ---


def test_a_bundle_of_the_published_encoders_opens(bundle):
    model = load_model(bundle)
    assert model.config == CONFIG
    assert model.attributes.names == CELEBA_ATTRIBUTES and not model.attributes.reach_known
    crops = torch.rand(2, 3, 32, 32) * 2 - 1
    features = model.encode_identity(crops).features
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2))
    assert not torch.allclose(features[0], features[1])
    codes = model.encode_landmarks(crops).codes
    assert codes.shape == (2, 102) and (codes >= 0).all() and (codes <= 1).all()
    assert model.parse(crops[:1]).shape == (1, 32, 32)


def test_info_says_what_it_can_edit_and_under_what_licence(bundle, capsys):
    assert main(["info", "--model", str(bundle), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "small-published" in said and "32 x 32" in said and "Licence: not stated; converted." in said
    assert all(name in said for name in CELEBA_ATTRIBUTES)


# --- what edits ---


def test_attributes_are_edited_from_points_alone(edit, rendered):
    code, report, frames = edit("--attribute", "Eyeglasses", "--attribute", "Young", "--scale", "0.3", "--scale", "-1")
    assert code == 0
    assert report["edits"] == {"Eyeglasses": 0.3, "Young": -1.0} and report["model"] == "small-published"
    assert (report["frames"], report["frames_without_face"], report["faithful"]) == (FRAMES, [], False)
    assert frames.shape == rendered.frames.shape
    assert (frames != rendered.frames).any(axis=(1, 2, 3)).all()


def test_strength_0_gives_the_source_bit_for_bit(edit, rendered):
    code, _, frames = edit("--attribute", "Eyeglasses", "--scale", "0")
    assert code == 0 and np.array_equal(frames, rendered.frames)


@pytest.mark.parametrize("jpeg", [[], ["--jpeg"]])
def test_the_published_edit_replaces_the_square_and_nothing_else(edit, rendered, jpeg):
    code, report, frames = edit("--attribute", "Eyeglasses", "--faithful", *jpeg)
    assert code == 0
    # The scale of the published edits, as the directions' reach is unknown.
    assert report["edits"] == {"Eyeglasses": 0.3} and report["faithful"] is True
    changed = (frames != rendered.frames).any(axis=-1)
    assert changed.any(axis=(1, 2)).all() and not changed.all(axis=(1, 2)).any()


def test_the_default_scale_is_a_published_one_without_the_published_steps_too(edit):
    code, report, _ = edit("--attribute", "Male")
    assert code == 0 and report["edits"] == {"Male": 0.3}


# --- what is refused, in one sentence ---


@pytest.mark.parametrize(
    ("more", "points", "complaint"),
    [
        ([], None, "dva models get insightface-buffalo_l"),
        (["--detector", "facexlib"], None, "dva models get facexlib-retinaface-resnet50"),
        (["--detector", "model"], None, "no face detector of its own"),
        (["--detector", "dlib"], None, "no face detector 'dlib'"),
        (["--detector", "facexlib"], ["40,40", "56,40", "42,60", "54,60"], "--points and --detector"),
        (["--jpeg"], ["40,40", "56,40", "42,60", "54,60"], "--jpeg is a part of --faithful"),
        ([], ["40,40", "56,40", "42,60"], "only 3 points"),
        ([], ["40,40", "56,40", "42,60", "96,60"], "Point 3 at 96, 60 lies outside"),
        ([], ["40,40", "56,40", "42,60", "42,60"], "lie on each other"),
    ],
)
def test_what_is_missing_or_wrong_is_said(edit, capsys, more, points, complaint):
    code, *_ = edit("--attribute", "Eyeglasses", *more, points=points)
    *before, said = capsys.readouterr().err.splitlines()
    assert code == 2 and said.startswith("dva: ") and complaint in said
    assert not any(line.startswith(("dva:", "Traceback")) for line in before)


def test_python_says_what_to_get_too(bundle, pictures, tmp_path):
    with one_sentence("no face detector of its own", "`dva_core.load_detector`"):
        edit_video(load_model(bundle), pictures, tmp_path / "edited", {"Smiling": 0.3})
    with one_sentence("licence", "dva models get insightface-buffalo_l"):
        load_detector("insightface")


def test_a_place_that_is_no_place_is_refused_by_the_options(edit, capsys):
    with pytest.raises(SystemExit) as ended:
        edit("--attribute", "Eyeglasses", points=["40,40", "there"])
    assert ended.value.code == 2 and "'there' is no place such as 120,85" in capsys.readouterr().err
