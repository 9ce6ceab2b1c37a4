"""Text edits of rendered people with the demo's CLIP: does what was asked for show, and how long is it looked for?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_STEPS
from ..editing.text import find_text_shift, shift_identity
from ..encoders.clip import Clip
from ..errors import DvaError
from ..pipeline import decode_clip, encode_clip
from ..progress import Cancel, Progress, Watch, never, silent
from ..synthetic import HELD_OUT_SEEDS, Person, sample_person
from . import disentanglement as judge
from .judges import Judges
from .people import filmed


@dataclass(frozen=True)
class TextCase:
    """A text edit under test: what is seen, what is wanted, and which answer of the judge must become `wanted`."""

    source: str
    target: str
    attribute: str
    wanted: bool = True


CASES = (
    TextCase("face", "face with eyeglasses", "Eyeglasses"),
    TextCase("face", "face with a beard", "No_Beard", wanted=False),
    TextCase("face", "face with blond hair", "Blond_Hair"),
    TextCase("face", "face with a hat", "Wearing_Hat"),
)

HOW = {
    "text": "each text on people of the held-out seeds who lack what it asks for (for hair: neither bald nor in a hat);"
    " clips of a few frames far apart, cut along the true landmarks; the demo's CLIP and the default settings,"
    " strength 1, the source's detail kept where nothing changes",
    "text.success": "share of the clips whose answer by the judges' attribute classifier becomes the one asked for",
    "text.seconds": "the longest time that the search for one edit took; mean_seconds is the mean",
}


@dataclass(frozen=True)
class TextMeasured:
    """One text edit of one clip."""

    case: TextCase
    success: bool
    seconds: float
    iterations: int


def measure_text(
    model: DiffusionVideoAutoencoder, judges: Judges, clips: int, frames: int, seed: int, *,
    steps: int = DEFAULT_STEPS, batch_size: int = 16, cases: Sequence[TextCase] = CASES,
    load_clip_net: Callable[[], Clip] | None = None, progress: Progress = silent,
    cancelled: Cancel = never,
) -> dict[str, Any]:  # fmt: skip
    """Every text on `clips` clips: the report's numbers, or {"success": None, "seconds": None, "why": ...}.

    `load_clip_net` gives the CLIP; the demo's own when left out.
    """
    if clips == 0:
        return _not_measured("It was left out.")
    try:
        clip_net = (load_clip_net or _demo_clip)()
    except DvaError as error:
        return _not_measured(str(error))
    watch = Watch("edit by text", clips * len(cases), progress, cancelled)
    measured = []
    for case in cases:
        for person in people_without(case, clips, seed):
            crops = filmed(person, frames, model.config.image_size)
            clip = encode_clip(model, crops, steps, batch_size=batch_size, cancelled=cancelled)
            tried: list[object] = []
            start = time.perf_counter()
            shift = find_text_shift(
                model, clip_net, clip, case.source, case.target, cancelled=cancelled, on_losses=tried.append
            )
            seconds = time.perf_counter() - start
            edited = decode_clip(model, clip, shift_identity(clip.identity.mean(), shift), batch_size=batch_size)
            success = judge.flipped(judges.answers(crops), judges.answers(edited), case.attribute, case.wanted)
            measured.append(TextMeasured(case, success, seconds, len(tried)))
            watch.tick()
    return summary(measured)


def people_without(case: TextCase, count: int, seed: int) -> list[int]:
    """Held-out people who lack what the text asks for, and on whom it could be seen."""
    order = np.random.default_rng([seed, 1]).permutation(len(HELD_OUT_SEEDS))
    seeds = (HELD_OUT_SEEDS[int(i)] for i in order)
    return list(islice((one for one in seeds if _can_show(sample_person(one), case)), count))


def summary(measured: Sequence[TextMeasured]) -> dict[str, Any]:
    """The report's numbers: over all, and under "each" by text."""
    groups = {case.target: [one for one in measured if one.case.target == case.target] for case in _cases(measured)}
    return {
        "success": fmean(one.success for one in measured),
        "seconds": max(one.seconds for one in measured),
        "mean_seconds": fmean(one.seconds for one in measured),
        "clips": len(measured),
        "each": {
            target: {
                "success": fmean(one.success for one in group),
                "seconds": fmean(one.seconds for one in group),
                "iterations": fmean(one.iterations for one in group),
                "clips": len(group),
            }
            for target, group in groups.items()
        },
    }


def _cases(measured: Sequence[TextMeasured]) -> list[TextCase]:
    return list(dict.fromkeys(one.case for one in measured))


def _can_show(person: Person, case: TextCase) -> bool:
    hair = case.attribute.endswith("_Hair")
    return person.attributes[case.attribute] != case.wanted and not (hair and (person.bald or person.hat))


def _demo_clip() -> Clip:
    from ..weights.demo_clip import load_demo_clip

    return load_demo_clip()


def _not_measured(why: str) -> dict[str, Any]:
    return {"success": None, "seconds": None, "why": why}
