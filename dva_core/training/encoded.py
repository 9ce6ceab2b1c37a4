"""Rendered people as a model's encoder sees them, and how its features truly move when one attribute is switched."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..errors import DvaError
from ..progress import Cancel, Progress, Watch, never, silent
from ..synthetic import TRAIN_SEEDS, Person, sample_person, set_attribute
from .directions import LabelledFeatures
from .rendered import RenderPlan, pictures_to_crops, render_views

FIRST_PERSON, MOST_PEOPLE = 30_000, 19_000
"""Of the training range, people who trained no part of the demo model."""
FIRST_OF_PAIRS, PAIRS = FIRST_PERSON + MOST_PEOPLE, 100
VIEWS = 4
"""Pictures of each person. More people do more good than more pictures of each."""
_AT_ONCE = 32  # pictures
_FEW = 400  # so many pictures are rendered before other processes would have started


def encode_rendered(
    model: DiffusionVideoAutoencoder, people: int, progress: Progress = silent, cancelled: Cancel = never
) -> LabelledFeatures:
    """Renders and encodes `people` of the training range, each in four pictures of different pose, scene and light.

    Raises DvaError for more people than are set apart for this, and Cancelled.
    """
    if people > MOST_PEOPLE:
        raise DvaError(
            f"At most {MOST_PEOPLE} rendered people are set apart for attributes, not {people}; ask for less."
        )
    plan = RenderPlan(people, siblings=0, views=VIEWS, size=model.config.image_size, first_person=FIRST_PERSON)
    cast = [sample_person(TRAIN_SEEDS[FIRST_PERSON + i]) for i in range(people)]
    features = _encoded(model, plan, list(enumerate(cast)), Watch("render and encode", people, progress, cancelled))
    labels = torch.tensor([list(person.attributes.values()) for person in cast])
    return LabelledFeatures(features, torch.arange(people).repeat_interleave(VIEWS), labels, tuple(cast[0].attributes))


def true_shifts(
    model: DiffusionVideoAutoencoder, names: Sequence[str], pairs: int = PAIRS,
    progress: Progress = silent, cancelled: Cancel = never,
) -> dict[str, Tensor]:  # fmt: skip
    """For each attribute the mean way of plain features [512] from people without it to the same people with it.

    Each of `pairs` people, none of whom `encode_rendered` shows, is rendered once as they are and once with each
    attribute switched, in the same pose, scene and light.
    """
    plan = RenderPlan(pairs, siblings=0, views=1, size=model.config.image_size, first_person=FIRST_OF_PAIRS)
    cast = []
    for index in range(pairs):
        person = sample_person(TRAIN_SEEDS[FIRST_OF_PAIRS + index])
        siblings = [set_attribute(person, name, not person.attributes[name]) for name in names]
        cast += [(index, one) for one in (person, *siblings)]
    features = _encoded(model, plan, cast, Watch("render siblings", len(cast), progress, cancelled))
    features = features.view(pairs, 1 + len(names), -1)
    shifts = {}
    for column, name in enumerate(names, start=1):
        sign = torch.tensor([-1.0 if cast[i * (1 + len(names))][1].attributes[name] else 1.0 for i in range(pairs)])
        shifts[name] = (sign[:, None] * (features[:, column] - features[:, 0])).mean(0)
    return shifts


def _encoded(
    model: DiffusionVideoAutoencoder, plan: RenderPlan, cast: Sequence[tuple[int, Person]], watch: Watch
) -> Tensor:
    """Features of the plan's views of each (index, person), whose index decides pose, scene and light."""
    features, step = [], _AT_ONCE // plan.views
    for pictures in _rendered(plan, [cast[i : i + step] for i in range(0, len(cast), step)]):
        features.append(model.encode_identity(pictures_to_crops(pictures)).features)
        watch.tick(len(pictures) // plan.views)
    return torch.cat(features)


def _rendered(plan: RenderPlan, chunks: Sequence[Sequence[tuple[int, Person]]]) -> Iterator[np.ndarray]:
    """The pictures of each chunk uint8 [B,S,S,3], by several processes where that pays."""
    if len(chunks) * _AT_ONCE <= _FEW:
        yield from map(_render, repeat(plan), chunks)
        return
    pool = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=_begin)
    try:
        yield from pool.map(_render, repeat(plan), chunks)
    finally:
        # Whoever stops early does not wait for what nobody will look at.
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """One thread, as there is a process for each core; Ctrl-C is left to the one who waits for the pictures."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _render(plan: RenderPlan, chunk: Sequence[tuple[int, Person]]) -> np.ndarray:
    return render_views(chunk, plan).pictures
