"""How far an edit must go: the least strength that turns an attribute on, or off, and comes near to the truth.

Whether it shows is told by a classifier of pictures that is trained for this alone; those who judge the finished model
have no part in it. The truth is what the renderer shows of the same people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import diffusion
from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_SOLVER, DEFAULT_STEPS
from ..editing.attributes import edit_identity
from ..encoders import AttributeClassifierNet
from ..pipeline import decode_clip
from ..progress import Cancel, Progress, Watch, never, silent
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
from ..values import EncodedClip, Identity, LandmarkCodes, NoiseMaps
from .batches import face_masks
from .rendered import pictures_to_crops

NEAR = 1.05
"""Strengths whose error is at most so many times the least one are near the truth."""
FEWEST_TOLD = 3
"""People of a direction whose source and truth the classifier must tell, for a strength to be chosen."""

Tried = dict[float, dict[str, float]]
"""strength -> {"share", "error"}"""


@dataclass(frozen=True)
class Calibration:
    """One picture each of people `first_person`, +1, ... of the training range, whom no other stage has seen.

    For each attribute and direction, `people` who can be edited that way. Strengths, in half distances beyond the
    midpoint, are tried from the least on; it is given up when the strength `halfway` reaches fewer than `hope`.
    Chosen is the least of those near the truth at which the attribute shows in a share of `enough` of the people; or
    the largest of them where none is enough but `least`; or else the least strength of all that is. Attributes that
    cannot be brought to `least` both ways are not offered.
    """

    first_person: int = 95_000
    people: int = 12
    steps: int = DEFAULT_STEPS
    strengths: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
    enough: float = 0.85
    least: float = 0.7
    halfway: float = 3.0
    hope: float = 0.25


def calibrate(
    model: DiffusionVideoAutoencoder, classifier: AttributeClassifierNet, config: Calibration,
    progress: Progress = silent, cancelled: Cancel = never,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Sets how far the edit of every trained attribute reaches, so that scale 1 turns it on and -1 off.

    Both ends are chosen by themselves; `midpoint` becomes the place between them and `strength` the half of their
    distance, in half distances of the classes. Attributes that cannot be reached are made untrained.
    Returns for each attribute: "on" and "off" (strength -> "share" of people who showed it and "error", MSE to the
    truth inside the head relative to doing nothing; empty where the classifier cannot tell), "strength_on",
    "strength_off" (None: not reached) and whether it is "offered".
    """
    names = model.attributes.names
    found: dict[str, dict[str, Any]] = {}
    seeds = _seeds_for(names, config)
    people = [sample_person(seed) for seed in seeds]
    source = _rendered(model, people, seeds)
    clip = _encode(model, pictures_to_crops(source.pictures), config.steps)
    watch = Watch("calibrate", len(names), progress, cancelled)
    for name in names:
        tried: dict[bool, Tried] = {True: {}, False: {}}
        chosen: dict[bool, float | None] = {True: None, False: None}
        for on in (True, False):
            rows = [row for row, person in enumerate(people) if person.attributes[name] != on][: config.people]
            changed = _rendered(model, [set_attribute(people[row], name, on) for row in rows], [seeds[i] for i in rows])
            head = torch.maximum(face_masks(source.parsing[rows]), face_masks(changed.parsing))
            truth = pictures_to_crops(changed.pictures)
            tried[on] = _tried(model, classifier, _rows(clip, rows), truth, head, name, on, config)
            chosen[on] = _chosen(tried[on], config)
            if chosen[on] is None:
                break
        _set_reach(model, name, chosen[True], chosen[False])
        found[name] = {
            "on": tried[True],
            "off": tried[False],
            "strength_on": chosen[True],
            "strength_off": chosen[False],
            "offered": None not in chosen.values(),
        }
        watch.tick()
    return found


def _seeds_for(names: Sequence[str], config: Calibration) -> list[int]:
    """People of whom enough have and enough lack each attribute: first some as they come, then only the rare ones."""
    missing = {(name, has): config.people for name in names for has in (True, False)}
    chosen: list[int] = []
    for seed in TRAIN_SEEDS[config.first_person :]:
        attributes = sample_person(seed).attributes
        helps = sum(left > 0 and attributes[name] == has for (name, has), left in missing.items())
        if helps > len(names) / 4 or (helps and len(chosen) >= 2 * config.people):
            chosen.append(seed)
            for name, has in missing:
                missing[name, has] -= attributes[name] == has
        if all(left <= 0 for left in missing.values()):
            break
    return chosen


def _tried(
    model: DiffusionVideoAutoencoder, classifier: AttributeClassifierNet, clip: EncodedClip, truth: Tensor,
    head: Tensor, name: str, on: bool, config: Calibration,
) -> Tried:  # fmt: skip
    """The strengths tried on people who lack the attribute (or have it, not `on`), as far as the truth is told."""
    told = _shows(classifier, truth, name, on) & ~_shows(classifier, clip.crops, name, on)
    rows = told.nonzero().flatten().tolist()
    tried: Tried = {}
    if len(rows) < FEWEST_TOLD:
        return tried
    clip, truth, head = _rows(clip, rows), truth[rows], head[rows]
    for strength in config.strengths:
        reached = _at(model, clip.identity, name, strength if on else -strength)
        edited = decode_clip(model, clip, reached)
        share = float(_shows(classifier, edited, name, on).float().mean())
        error = _error(edited, truth, head) / _error(clip.crops, truth, head)
        rises = any(error > earlier["error"] for earlier in tried.values())
        tried[strength] = {"share": share, "error": error}
        if (share >= config.enough and rises) or (strength >= config.halfway and share < config.hope):
            break
    return tried


def _chosen(tried: Tried, config: Calibration) -> float | None:
    """As `Calibration` says; None where even the best strength reaches too few."""
    best = max((found["share"] for found in tried.values()), default=0.0)
    if not tried or best < config.least:
        return None
    nearest = min(found["error"] for found in tried.values())
    near = {strength: found["share"] for strength, found in tried.items() if found["error"] <= NEAR * nearest}
    enough = [strength for strength, share in near.items() if share >= config.enough]
    if enough:
        return min(enough)
    if max(near.values()) >= config.least:
        return max(near)
    return min(strength for strength, found in tried.items() if found["share"] >= min(best, config.enough))


def _at(model: DiffusionVideoAutoencoder, identity: Identity, name: str, strength: float) -> Identity:
    """Identities [N,512] of N people, moved to so many half distances beyond the midpoint."""
    table = model.attributes
    table.strength[table.row(name)] = abs(strength)
    edits = {name: 1.0 if strength > 0 else -1.0}
    moved = [edit_identity(Identity(row[None], identity.model), table, edits).features for row in identity.features]
    return Identity(torch.cat(moved), identity.model)


def _set_reach(model: DiffusionVideoAutoencoder, name: str, on: float | None, off: float | None) -> None:
    table = model.attributes
    row = table.row(name)
    if on is None or off is None:
        table.trained[row] = False
        table.strength[row] = 1.0
        return
    table.midpoint[row] += (on - off) / 2 * table.half_distance[row]
    table.strength[row] = (on + off) / 2


def _shows(classifier: AttributeClassifierNet, crops: Tensor, name: str, on: bool) -> Tensor:
    """Whether the classifier sees the attribute (or, not `on`, its absence) in each picture: bool [N]."""
    with torch.no_grad():
        logits = classifier(crops.to(next(classifier.parameters()).device)).cpu()
    return (logits[:, classifier.attributes.index(name)] > 0) == on


def _rendered(model: DiffusionVideoAutoencoder, people: Sequence[Person], seeds: Sequence[int]) -> Rendered:
    """People, each in the pose and place of a seed."""
    motions, scenes = [sample_motion(seed, 1) for seed in seeds], [sample_scene(seed, 1) for seed in seeds]
    return render_crops(people, motions, scenes, [0] * len(seeds), model.config.image_size)


def _error(pictures: Tensor, truth: Tensor, head: Tensor) -> float:
    return float(((pictures - truth) ** 2 * head).sum() / head.sum())


def _encode(model: DiffusionVideoAutoencoder, crops: Tensor, steps: int) -> EncodedClip:
    """Pictures of as many people, where `pipeline.encode_clip` would take them for one."""
    identity, landmark_codes = model.encode_identity(crops), model.encode_landmarks(crops)
    eps = model.eps(model.face_latent(identity, landmark_codes))
    x_T, stored = diffusion.invert(eps, crops, DEFAULT_SOLVER, steps)
    noise_maps = NoiseMaps(x_T, steps, DEFAULT_SOLVER, model.name, stored)
    return EncodedClip(crops, identity, landmark_codes, noise_maps, crops)


def _rows(clip: EncodedClip, rows: Sequence[int]) -> EncodedClip:
    rows = list(rows)
    return EncodedClip(
        clip.crops[rows],
        Identity(clip.identity.features[rows], clip.identity.model),
        LandmarkCodes(clip.landmark_codes.codes[rows], clip.landmark_codes.model),
        clip.noise_maps.part(rows),
        clip.unedited[rows],
    )
