"""How far an edit must go: the strength of every attribute, chosen against the truth that the renderer can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import decode, invert
from ..editing.attributes import edit_identity
from ..pipeline import decode_clip
from ..synthetic import (
    TRAIN_SEEDS,
    Person,
    Rendered,
    render_crops,
    sample_motion,
    sample_person,
    sample_scene,
    set_attribute,
)
from ..values import EncodedClip, Identity, NoiseMaps
from .batches import face_masks
from .rendered import pictures_to_crops

ABOUT = 1.05


@dataclass(frozen=True)
class Calibration:
    """People `first_person`, +1, … of the training range, one picture each, whom no other stage has seen."""

    first_person: int = 90_000
    people: int = 12
    steps: int = 20
    strengths: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5)


def calibrate(
    model: DiffusionVideoAutoencoder, config: Calibration, progress: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, dict[float, float]]:
    """Sets `model.attributes.strength` for every trained attribute to a value whose edits come nearest to the truth.

    Returns the errors found: attribute -> strength -> MSE inside the head relative to doing nothing.
    """
    seeds = [TRAIN_SEEDS[config.first_person + i] for i in range(config.people)]
    people = [sample_person(seed) for seed in seeds]
    source = _render(people, seeds, model.config.image_size)
    crops = pictures_to_crops(source.pictures)
    clip = _encode(model, crops, config.steps)
    names, errors = model.attributes.names, {}
    for index, name in enumerate(names):
        wanted = [not person.attributes[name] for person in people]
        others = [set_attribute(person, name, on) for person, on in zip(people, wanted, strict=True)]
        perfect = _render(others, seeds, model.config.image_size)
        truth = pictures_to_crops(perfect.pictures)
        head = torch.maximum(face_masks(source.parsing), face_masks(perfect.parsing))
        errors[name] = {}
        for strength in config.strengths:
            model.attributes.strength[model.attributes.row(name)] = strength
            rows = [_toggled(model, clip, i, name, on) for i, on in enumerate(wanted)]
            edited = decode_clip(model, clip, Identity(torch.cat(rows), clip.identity.model))
            errors[name][strength] = _error(edited, truth, head) / _error(crops, truth, head)
        model.attributes.strength[model.attributes.row(name)] = _least_that_will_do(errors[name])
        progress("calibrate", index + 1, len(names))
    return errors


def _render(people: list[Person], seeds: list[int], size: int) -> Rendered:
    motions, scenes = [sample_motion(seed, 1) for seed in seeds], [sample_scene(seed, 1) for seed in seeds]
    return render_crops(people, motions, scenes, [0] * len(seeds), size)


def _encode(model: DiffusionVideoAutoencoder, crops: Tensor, steps: int) -> EncodedClip:
    """Pictures of as many people, where `pipeline.encode_clip` would take them for one."""
    identity, landmark_codes = model.encode_identity(crops), model.encode_landmarks(crops)
    eps = model.eps(model.face_latent(identity, landmark_codes))
    x_T = invert(eps, crops, steps)
    return EncodedClip(
        crops, identity, landmark_codes, NoiseMaps(x_T, steps, "ddim", model.name), decode(eps, x_T, steps)
    )


def _toggled(model: DiffusionVideoAutoencoder, clip: EncodedClip, row: int, name: str, on: bool) -> Tensor:
    one = Identity(clip.identity.features[row : row + 1], clip.identity.model)
    return edit_identity(one, model.attributes, {name: 1.0 if on else -1.0}).features


def _least_that_will_do(errors: dict[float, float]) -> float:
    """Of the strengths that are about as good as the best the smallest: side effects grow with it."""
    return min(strength for strength, error in errors.items() if error <= ABOUT * min(errors.values()))


def _error(pictures: Tensor, truth: Tensor, head: Tensor) -> float:
    return float(((pictures - truth) ** 2 * head).sum() / head.sum())
