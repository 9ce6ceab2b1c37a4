"""`dva train demo`: everything that made the shipped model, from nothing, one resumable stage after the other."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import tensorfile
from ..autoencoder import DiffusionVideoAutoencoder, ModelConfig, fold_input_scaling
from ..encoders import FaceDetectorNet, build_encoder
from ..evaluation.judges import Judges, save_judges
from ..progress import Progress, silent
from ..unet import UNetConfig
from ..weights.bundle import save_bundle
from .autoencoder import IDENTITY_SCALE, AutoencoderTraining, FaceDenoiser, train_autoencoder
from .calibration import Calibration, calibrate
from .conditions import conditions_of, encode_pictures
from .data import joined
from .directions import attribute_directions
from .encoders import (
    ClassifierTraining,
    train_attribute_classifier,
    train_detector,
    train_landmarks,
    train_parser,
)
from .fitting import Fitting, Watch, tensorboard_log
from .frames import render_detection_set
from .identity import IdentityTraining, train_identity
from .reach import EvenPlan, beards_from_shaven, even_faces
from .rendered import RenderPlan, render_face_set

LICENCE = "MIT"
PROVENANCE = "trained by `dva train demo` on faces that dva_core.synthetic renders; no photographs were used"


@dataclass(frozen=True)
class Recipe:
    """The people, nets and efforts of the demo model. All people come from the training range of seeds.

    The autoencoder is trained on `faces` and `strangers`, then polished on the people of `rare`, of whom half have
    something that few have, or lack something that few lack: edits one way are learned from such pairs.
    """

    faces: RenderPlan = RenderPlan(people=1600, siblings=600)
    loose: RenderPlan = RenderPlan(
        people=900, siblings=0, views=8, first_person=50_000, jitter=(0.05, 0.12, 0.15), occluded=0.1
    )
    strangers: RenderPlan = RenderPlan(people=2400, siblings=1000, first_person=10_000)
    held_back: RenderPlan = RenderPlan(people=12, siblings=0, views=4, first_person=80_000, occluded=0.0)
    frames: int = 2000
    first_frame_person: int = 60_000
    identity: IdentityTraining = IdentityTraining()
    judge: IdentityTraining = IdentityTraining(
        Fitting(steps=600, batch_size=96, rate=3e-3, weight_decay=0.01, seed=1), width=40
    )
    unet: UNetConfig = UNetConfig(
        image_size=64, model_channels=48, channel_mult=(1, 2, 2), num_res_blocks=1, attention_resolutions=(8,),
        embed_channels=128, cond_channels=512, dropout=0.0, output="v", unshuffle=2,
    )  # fmt: skip
    autoencoder: AutoencoderTraining = AutoencoderTraining()
    rare: RenderPlan = RenderPlan(
        people=1600, siblings=1600, views=8, first_person=70_000, sibling_attributes=(
            "Bald", "Goatee", "Rosy_Cheeks", "Heavy_Makeup", "No_Beard", "Eyeglasses", "Wearing_Hat", "Mustache",
        ),
    )
    polish: AutoencoderTraining = AutoencoderTraining(steps=3000, learning_rate=4e-4, decay=0.6, seed=1)
    even: EvenPlan = EvenPlan()
    reach_judge: ClassifierTraining = ClassifierTraining(Fitting(steps=700, batch_size=64, seed=2), width=48)
    calibration: Calibration = Calibration()


def train_demo(
    folder: Path,
    bundle: Path,
    judges: Path,
    device: str = "cpu",
    recipe: Recipe = Recipe(),
    progress: Progress = silent,
) -> None:
    """Runs the recipe in `folder`, skipping stages whose results lie there, and writes the bundle and the judges."""
    watch = Watch(progress, log=tensorboard_log(folder / "logs"))
    faces = render_face_set(recipe.faces, folder / "data" / "faces", progress=progress)
    loose = render_face_set(recipe.loose, folder / "data" / "loose", progress=progress)
    strangers = render_face_set(recipe.strangers, folder / "data" / "strangers", progress=progress)
    held_back = render_face_set(recipe.held_back, folder / "data" / "held_back", progress=progress)
    both = joined(faces, loose)
    stage = _Stages(folder, device)
    identity = stage("identity", lambda: train_identity(faces, recipe.identity, device, watch))
    landmarks = stage("landmarks", lambda: train_landmarks(both, device=device, watch=watch))
    parser = stage("parser", lambda: train_parser(both, device=device, watch=watch))
    detector = stage("detector", lambda: _detector(recipe, device, watch))
    # The features of people that the identity net was not trained on are those that it will meet in use.
    everyone = joined(faces, strangers)
    conditions = conditions_of(identity, everyone)
    watched = held_back, conditions_of(identity, held_back)
    denoiser, history = train_autoencoder(
        recipe.unet, recipe.autoencoder, everyone, conditions, watched, folder, progress
    )

    rare = render_face_set(recipe.rare, folder / "data" / "rare", progress=progress)
    denoiser, polished = train_autoencoder(
        recipe.unet, recipe.polish, rare, conditions_of(identity, rare), watched, folder / "polish", progress, denoiser
    )

    model = assemble(denoiser, identity, landmarks, parser, detector)
    directions = attribute_directions(conditions.z_id, everyone)
    model.attributes.load_state_dict(directions.state_dict())
    reached = set_reach(model, recipe, stage, device, watch)
    summary = {
        "recipe": asdict(recipe), "diagnoses": history + polished, "calibration": reached, "seconds": stage.seconds,
        "machine": machine(),
    }  # fmt: skip
    save_bundle(model, bundle, summary, LICENCE, PROVENANCE)

    judge = stage("judge_identity", lambda: train_identity(faces, recipe.judge, device, watch))
    classifier = stage("judge_attributes", lambda: train_attribute_classifier(faces, device=device, watch=watch))
    save_judges(Judges(judge, classifier), judges)


def set_reach(
    model: DiffusionVideoAutoencoder, recipe: Recipe, stage: Callable[..., nn.Module], device: str, watch: Watch
) -> dict[str, dict[str, Any]]:
    """The last touch to the table of directions: beards lead from the clean-shaven, and scale 1 turns an attribute on.

    `stage(name, train)` gives a net, trained now or before. Returns what `calibrate` found.
    """
    even = even_faces(recipe.even, watch.progress, watch.cancelled)
    judge = stage(
        "reach_judge", lambda: train_attribute_classifier(even, recipe.reach_judge, device=device, watch=watch)
    )
    beards_from_shaven(model.attributes, encode_pictures(model.identity, even.pictures), even)
    return calibrate(model, judge, recipe.calibration, watch.progress, watch.cancelled)


def assemble(
    denoiser: FaceDenoiser, identity: nn.Module, landmarks: nn.Module, parser: nn.Module, detector: nn.Module
) -> DiffusionVideoAutoencoder:
    """The trained parts as one model, its head in the published form; attribute directions are still empty."""
    encoders = identity.config, landmarks.config, parser.config, detector.config
    model = DiffusionVideoAutoencoder(ModelConfig("demo", denoiser.unet.config, *encoders))
    model.unet.load_state_dict(denoiser.unet.state_dict())
    head = fold_input_scaling(denoiser.head, IDENTITY_SCALE, denoiser.mean_lnd, denoiser.std_lnd)
    model.head.load_state_dict(head.state_dict())
    model.identity.load_state_dict(identity.state_dict())
    model.landmarks.load_state_dict(landmarks.state_dict())
    model.parser.load_state_dict(parser.state_dict())
    model.detector_net.load_state_dict(detector.state_dict())
    return model.eval().requires_grad_(False)


def machine() -> str:
    """What the training ran on, for the summary."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {platform.machine()}"


class _Stages:
    """Runs a stage once: its net lies in the folder afterwards and is read from there the next time."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, train: Callable[[], nn.Module]) -> nn.Module:
        path = self.folder / f"{name}.safetensors"
        if path.exists():
            header, tensors = tensorfile.read(path, "a trained net")
            net = build_encoder(header["config"])
            net.load_state_dict(tensors)
        else:
            start = time.monotonic()
            net = train()
            header = {"config": net.config, "seconds": round(time.monotonic() - start)}
            tensorfile.write(path, "a trained net", header, net.state_dict())
        self.seconds[name] = header["seconds"]
        return net.to(self.device).eval()


def _detector(recipe: Recipe, device: str, watch: Watch) -> FaceDetectorNet:
    frames = render_detection_set(recipe.frames, recipe.first_frame_person, watch)
    return train_detector(frames, device=device, watch=watch)
