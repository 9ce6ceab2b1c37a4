"""People whose attributes are drawn evenly, and what is learned from them: a judge for calibration, beards of one kind.

Among people as they come one in 25 has stubble. Here every attribute is had by about as many as any other of its group,
so that a classifier learns the rare ones as well, and no answer is likelier before it has looked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..editing.attributes import AttributeDirections
from ..progress import Cancel, Progress, Watch, never, silent
from ..synthetic import TRAIN_SEEDS, Person, render_crops, sample_motion, sample_person, sample_scene, set_attribute
from .rendered import FaceSet

BEARDS = ("5_o_Clock_Shadow", "Goatee", "Mustache")
SHAVEN = "No_Beard"
_AT_ONCE = 24
_JITTER = (0.008, 0.008, 0.02, 0.02)  # of the crop: shift x, y, log zoom, rotation


@dataclass(frozen=True)
class EvenPlan:
    """People `first_person`, +1, ... of the training range, `views` pictures each, of whom no other stage knows."""

    first_person: int = 20_000
    people: int = 6000
    views: int = 2
    size: int = 64


def even_faces(plan: EvenPlan, progress: Progress = silent, cancelled: Cancel = never) -> FaceSet:
    """Renders the plan; every view has a pose, a scene and a light of its own."""
    watch = Watch("render even faces", plan.people, progress, cancelled)
    pictures, landmarks, parsing, attributes = [], [], [], []
    for start in range(0, plan.people, _AT_ONCE):
        indices = range(start, min(start + _AT_ONCE, plan.people))
        seeds = [TRAIN_SEEDS[plan.first_person + index] for index in indices]
        people = [even_person(seed) for seed in seeds]
        attributes += [person.attributes for person in people]
        views = [seed * 1000 + view for seed in seeds for view in range(plan.views)]
        rendered = render_crops(
            [person for person in people for _ in range(plan.views)],
            [sample_motion(view, 1) for view in views],
            [sample_scene(view, 1) for view in views],
            [0] * len(views),
            plan.size,
            jitter=np.stack([_jitter(seed, plan.views) for seed in seeds]).reshape(-1, 4),
        )
        pictures.append(rendered.pictures)
        landmarks.append(((rendered.landmarks + 0.5) / plan.size).astype(np.float32))
        parsing.append(rendered.parsing)
        watch.tick(len(indices))
    return FaceSet(
        *(np.concatenate(part) for part in (pictures, landmarks, parsing)),
        person=np.repeat(np.arange(plan.people), plan.views),
        attributes=np.array([list(row.values()) for row in attributes]),
        attribute_names=tuple(attributes[0]),
        original=np.full(plan.people, -1),
    )


def even_person(seed: int) -> Person:
    """The person of a seed with every attribute switched by a coin, in random order (hair has one colour at a time)."""
    generator = np.random.default_rng([5, seed])
    person = sample_person(seed)
    names = list(person.attributes)
    for index in generator.permutation(len(names)):
        person = set_attribute(person, names[index], bool(generator.uniform() < 0.5))
    return person


def beards_from_shaven(table: AttributeDirections, features: Tensor, faces: FaceSet) -> None:
    """Turns the directions of the single kinds of beard half way towards those that lead from no beard to that kind.

    features: z_id [N,512] of the pictures of `faces`. As they were, against everybody else, who may wear another beard,
    the way away from a goatee ends in a full beard; from the shaven alone, the way to one does. Classes are those with
    that beard and the shaven. Changes the rows that `table` has trained.
    """
    person = torch.as_tensor(np.asarray(faces.person))
    count = torch.bincount(person, minlength=len(faces.attributes)).clamp(min=1)
    people = torch.zeros(len(faces.attributes), features.shape[1]).index_add_(0, person, features) / count[:, None]
    people = (people - table.mean) / table.std
    has = dict(zip(faces.attribute_names, torch.as_tensor(np.asarray(faces.attributes)).T, strict=True))
    for name in set(BEARDS) & set(table.names):
        row = table.row(name)
        with_it, shaven = people[has[name]].mean(0), people[has[SHAVEN]].mean(0)
        weight = F.normalize(table.weight[row], dim=0) + F.normalize(with_it - shaven, dim=0)
        along = F.normalize(weight, dim=0)
        table.weight[row] = weight
        table.midpoint[row] = (with_it + shaven) @ along / 2
        table.half_distance[row] = (with_it - shaven) @ along / 2


def _jitter(seed: int, views: int) -> np.ndarray:
    return np.random.default_rng([6, seed]).normal(0, 1, (views, 4)) * np.array(_JITTER)
