"""Rendered training pictures: drawn once by several processes, kept as memory-mapped arrays, resumed where stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..synthetic import TRAIN_SEEDS, Person, render_crops, sample_motion, sample_person, sample_scene, set_attribute


@dataclass(frozen=True)
class RenderPlan:
    """What to render. Identities `first_person`, +1, … of the training range; `siblings` of them come a second time
    with one of `sibling_attributes` toggled, by turns; `views` pictures each. `jitter` is the spread of the crop's
    shift, log zoom and rotation; `occluded` is the share of pictures with an object before the person."""

    people: int = 2400
    siblings: int = 800
    views: int = 12
    size: int = 64
    first_person: int = 0
    jitter: tuple[float, float, float] = (0.008, 0.02, 0.02)
    occluded: float = 0.05
    sibling_attributes: tuple[str, ...] = ("Eyeglasses", "No_Beard", "Blond_Hair", "Wearing_Hat")


@dataclass(frozen=True)
class FaceSet:
    """Training pictures with their truth.

    pictures uint8 [N,S,S,3]; landmarks float32 [N,68,2] in fractions of the crop; parsing uint8 [N,S,S];
    person int64 [N]: row of `attributes` bool [P,A] (columns: `attribute_names`); original int64 [P]: the person that a
    sibling copies, -1 for others. A person's pictures lie together.
    """

    pictures: np.ndarray
    landmarks: np.ndarray
    parsing: np.ndarray
    person: np.ndarray
    attributes: np.ndarray
    attribute_names: tuple[str, ...]
    original: np.ndarray


def render_face_set(
    plan: RenderPlan,
    folder: Path,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> FaceSet:
    """Renders the plan's pictures into `folder` (or goes on with, or opens, what already lies there)."""
    folder.mkdir(parents=True, exist_ok=True)
    cast = _cast(plan)
    count = len(cast) * plan.views
    note = folder / "plan.json"
    if not note.exists() or json.loads(note.read_text())["plan"] != json.loads(json.dumps(asdict(plan))):
        for name, shape, dtype in _arrays(plan, count):
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()
        _write_note(note, plan, 0)
    done = json.loads(note.read_text())["people_done"]
    chunks = [range(start, min(start + 8, len(cast))) for start in range(done, len(cast), 8)]
    if chunks:
        pool = ProcessPoolExecutor(
            workers or os.cpu_count(), get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        )
        with pool:
            for chunk in pool.map(_render_chunk, repeat(plan), repeat(folder), chunks):
                _write_note(note, plan, chunk.stop)
                progress("render faces", chunk.stop, len(cast))
    attributes = [person.attributes for person, _ in cast]
    return FaceSet(
        **{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name, _, _ in _arrays(plan, count)},
        person=np.repeat(np.arange(len(cast)), plan.views),
        attributes=np.array([list(row.values()) for row in attributes]),
        attribute_names=tuple(attributes[0]),
        original=np.array([original for _, original in cast]),
    )


def render_views(people: Iterable[tuple[int, Person]], plan: RenderPlan):
    """Renders `plan.views` pictures of each (index, person): pose, scene and light are new in every picture."""
    people = list(people)
    cast, motions, scenes, frames, jitter = [], [], [], [], []
    for index, person in people:
        rng = np.random.default_rng([4, plan.first_person, index])
        for view in range(plan.views):
            seed = (plan.first_person + index) * 1000 + view
            occluded = bool(rng.uniform() < plan.occluded)
            frame = int(rng.integers(8, 25)) if occluded else 0
            cast.append(person)
            motions.append(sample_motion(seed, frame + 1))
            scenes.append(sample_scene(seed, frame + 1, occluder=occluded))
            frames.append(frame)
            jitter.append(rng.normal(0, 1, 4) * np.array([plan.jitter[0], *plan.jitter]))
    return render_crops(cast, motions, scenes, frames, plan.size, jitter=np.array(jitter))


def pictures_to_crops(pictures: np.ndarray) -> Tensor:
    """uint8 [B,S,S,3] -> float32 [B,3,S,S] in -1..1."""
    return rearrange(torch.from_numpy(np.array(pictures)), "b h w c -> b c h w").float() / 127.5 - 1


@cache
def _cast(plan: RenderPlan) -> list[tuple[Person, int]]:
    """The people of the plan: the originals, then the siblings with the row of their original."""
    originals = [sample_person(TRAIN_SEEDS[plan.first_person + i]) for i in range(plan.people)]
    siblings = []
    for i in range(plan.siblings):
        name = plan.sibling_attributes[i % len(plan.sibling_attributes)]
        person = originals[i % plan.people]
        siblings.append((set_attribute(person, name, not person.attributes[name]), i % plan.people))
    return [(person, -1) for person in originals] + siblings


def _arrays(plan: RenderPlan, count: int):
    size = plan.size
    return (
        ("pictures", (count, size, size, 3), np.uint8),
        ("landmarks", (count, 68, 2), np.float32),
        ("parsing", (count, size, size), np.uint8),
    )


def _render_chunk(plan: RenderPlan, folder: Path, chunk: range) -> range:
    cast = _cast(plan)
    rendered = render_views(((i, cast[i][0]) for i in chunk), plan)
    rows = slice(chunk.start * plan.views, chunk.stop * plan.views)
    for name, values in (
        ("pictures", rendered.pictures),
        ("landmarks", (rendered.landmarks + 0.5) / plan.size),
        ("parsing", rendered.parsing),
    ):
        array = np.load(folder / f"{name}.npy", mmap_mode="r+")
        array[rows] = values
        array.flush()
    return chunk


def _write_note(note: Path, plan: RenderPlan, people_done: int) -> None:
    part = note.with_suffix(".part")
    part.write_text(json.dumps({"plan": asdict(plan), "people_done": people_done}))
    os.replace(part, note)
