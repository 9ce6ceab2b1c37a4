"""Rendered people beside their siblings: the same pose, light and background, and one thing changed in who they are."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ..files import whole_or_nothing
from ..progress import Progress, silent
from ..synthetic import TRAIN_SEEDS, Person, render_crops, sample_motion, sample_person, sample_scene, set_attribute
from ..synthetic.captions import FACTS, facts_of
from ..synthetic.person import BEARDS, HAIR_COLORS

_CHUNK = 8


@dataclass(frozen=True)
class SiblingPlan:
    """People `first_person`, +1, … of the training range, in one picture each, and `siblings` more of each one.

    `jitter` is the spread of the crop's shift, log zoom and rotation; a group shares all of it.
    """

    people: int = 4800
    siblings: int = 3
    size: int = 64
    first_person: int = 20_000
    jitter: tuple[float, float, float] = (0.012, 0.03, 0.03)


@dataclass(frozen=True)
class SiblingSet:
    """Groups of G pictures: first the person, then the siblings.

    pictures uint8 [N,G,S,S,3]; facts int8 [N,G,F] in the order of `FACTS`: 1 holds, -1 does not, 0 open.
    """

    pictures: np.ndarray
    facts: np.ndarray


def render_sibling_set(
    plan: SiblingPlan, folder: Path, workers: int | None = None, progress: Progress = silent
) -> SiblingSet:
    """Renders the plan's pictures into `folder` (or goes on with, or opens, what already lies there)."""
    folder.mkdir(parents=True, exist_ok=True)
    note, pictures, shape = folder / "plan.json", folder / "pictures.npy", _shape(plan)
    if not note.exists() or json.loads(note.read_text())["plan"] != json.loads(json.dumps(asdict(plan))):
        np.lib.format.open_memmap(pictures, "w+", np.uint8, shape).flush()
        _write_note(note, plan, 0)
    done = json.loads(note.read_text())["people_done"]
    if chunks := [range(start, min(start + _CHUNK, plan.people)) for start in range(done, plan.people, _CHUNK)]:
        pool = ProcessPoolExecutor(
            workers or os.cpu_count(), get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        )
        with pool:
            for chunk in pool.map(_render_chunk, repeat(plan), repeat(pictures), chunks):
                _write_note(note, plan, chunk.stop)
                progress("render siblings", chunk.stop, plan.people)
    facts = np.array([[_fact_row(person) for person in sibling_group(plan, i)] for i in range(plan.people)])
    return SiblingSet(np.load(pictures, mmap_mode="r"), facts)


def sibling_group(plan: SiblingPlan, index: int) -> list[Person]:
    """Person `index` of the plan and the siblings, each with another visible change."""
    person = sample_person(TRAIN_SEEDS[plan.first_person + index])
    rng = np.random.default_rng([5, person.seed])
    group, before = [person], _fact_row(person)
    kinds = rng.permutation(np.repeat(list(_CHANGES), list(_CHANGES.values())))
    tried: set[str] = set()
    for kind in (str(kind) for kind in kinds):
        if len(group) > plan.siblings:
            break
        if kind not in tried:
            tried.add(kind)
            other = _changed(person, kind, rng)
            if (before * _fact_row(other) < 0).any():
                group.append(other)
    return group


# How often each kind of change is drawn: what people ask for most, and what comes in many kinds, most often.
_CHANGES = {
    "beard": 5, "hair color": 5, "Eyeglasses": 4, "Wearing_Hat": 4, "Bald": 2, "Bangs": 2, "long hair": 1, "Young": 2,
    "Pale_Skin": 2, "Heavy_Makeup": 2, "Wearing_Lipstick": 2, "Big_Nose": 2, "Bushy_Eyebrows": 2, "Rosy_Cheeks": 2,
    "Wearing_Earrings": 1,
}  # fmt: skip


def _changed(person: Person, kind: str, rng: np.random.Generator) -> Person:
    if kind == "beard":
        # Half of those who have none get the full one; whoever has one mostly loses it.
        weights = np.array([0.6, 0.2, 0.07, 0.07, 0.06]) if person.beard != "none" else np.array([0, 5, 2, 2, 1.0])
        weights[BEARDS.index(person.beard)] = 0
        return replace(person, beard=str(rng.choice(BEARDS, p=weights / weights.sum())))
    if kind == "hair color":
        others = [color for color in HAIR_COLORS if color != person.hair_color]
        return replace(person, hair_color=str(rng.choice(others)))
    if kind == "long hair":
        length = rng.uniform(0.1, 0.35) if person.hair_length > 0.4 else rng.uniform(0.55, 1.5)
        return replace(person, hair_length=float(length))
    return set_attribute(person, kind, not person.attributes[kind])


def _fact_row(person: Person) -> np.ndarray:
    held = facts_of(person)
    return np.array([0 if held[name] is None else 1 if held[name] else -1 for name in FACTS], np.int8)


def _shape(plan: SiblingPlan) -> tuple[int, ...]:
    return plan.people, 1 + plan.siblings, plan.size, plan.size, 3


def _render_chunk(plan: SiblingPlan, path: Path, chunk: range) -> range:
    cast, motions, scenes, jitter = [], [], [], []
    for index in chunk:
        seed = plan.first_person + index
        motion, scene = sample_motion(seed, 1), sample_scene(seed, 1)
        shift = np.random.default_rng([6, seed]).normal(0, 1, 4) * np.array([plan.jitter[0], *plan.jitter])
        for person in sibling_group(plan, index):
            cast.append(person)
            motions.append(motion)
            scenes.append(scene)
            jitter.append(shift)
    rendered = render_crops(cast, motions, scenes, [0] * len(cast), plan.size, jitter=np.array(jitter))
    pictures = np.load(path, mmap_mode="r+")
    pictures[chunk.start : chunk.stop] = rendered.pictures.reshape(len(chunk), *_shape(plan)[1:])
    pictures.flush()
    return chunk


def _write_note(note: Path, plan: SiblingPlan, people_done: int) -> None:
    with whole_or_nothing(note) as unfinished:
        unfinished.write_text(json.dumps({"plan": asdict(plan), "people_done": people_done}))
