"""Attribute edits of rendered people: does the attribute show, does it go, and what else changes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_STEPS
from ..editing.sweep import sweep_clip
from ..pipeline import edit_clip, encode_clip
from ..progress import Cancel, Watch, never
from ..synthetic import sample_person, set_attribute
from . import disentanglement as judge
from .judges import Judges
from .people import cast, filmed

SCALE = 1.0
FEWEST_TOLD = 2
"""Clips of a direction that the judge must tell in the truth, for a success to be stated."""
GROUPS = (
    ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    ("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard"),
)
"""Attributes that exclude each other: an edit of one must be free to move the others."""

HOW = {
    "attributes": "for every attribute of the model, people of the held-out seeds who have it and people who lack it;"
    " clips of a few frames far apart, cut along the true landmarks; the attribute is toggled with scale 1 or -1,"
    " the source's detail kept where the edit changes nothing, before paste-back; truth is the same clip rendered"
    " with the attribute toggled",
    "attributes.success": "of the clips whose source and rendered truth a classifier tells rightly, the share in which"
    " its answer flips: the sign of its mean logit over the frames; it was trained on pictures and is never used to"
    " make or to calibrate an edit; success_on puts the attribute on, success_off takes it off, told_on and told_off"
    " are the shares that the classifier tells in the truth; null where it tells fewer than two clips",
    "attributes.mean_success": "mean over attributes of the mean of success_on and success_off; mean_success_preserved"
    " the same for edits that preserve the others",
    "attributes.min_success": "the lowest success_on or success_off of any attribute",
    "attributes.side_effects": "mean absolute change of the classifier's score, 0..1 (sigmoid of the logit, mean over"
    " the frames), of all attributes that source and truth have alike; mean over clips, then over attributes;"
    " side_effects_of_truth is what the rendered truth itself reaches",
    "attributes.side_effects_preserved": "the same, for edits that preserve every other attribute of the model but"
    " those that exclude the edited one (the other hair colours, the other beards)",
    "attributes.colour_change": "where the truth changes less than 0.1 of 0..1: mean of edited - source in each frame"
    " and channel, its absolute value; colour_flicker is its standard deviation over the frames; of 0..1, mean over"
    " clips, then over attributes",
}


@dataclass(frozen=True)
class Toggled:
    """One attribute of one clip toggled; the numbers with `_preserved` are of the edit that preserves all others."""

    name: str
    wanted: bool
    told: bool
    success: bool
    success_preserved: bool
    side_effects: float
    side_effects_preserved: float
    side_effects_of_truth: float
    colour_change: float
    colour_flicker: float


def measure_attributes(
    model: DiffusionVideoAutoencoder, judges: Judges, each: int, frames: int, seed: int, watch: Watch, *,
    steps: int = DEFAULT_STEPS, batch_size: int = 8, cancelled: Cancel = never,
) -> list[Toggled]:  # fmt: skip
    """Toggles every attribute of the model in `each` people who have it and as many who lack it.

    `watch` ticks once for each edited clip.
    """
    people: dict[int, list[str]] = {}
    for name, having_or_lacking in cast(model.attributes.names, each, seed).items():
        for person in having_or_lacking:
            people.setdefault(person, []).append(name)
    return [
        toggled
        for person, names in people.items()
        for toggled in _toggle(model, judges, person, names, frames, watch, steps, batch_size, cancelled)
    ]


def preserved(model: DiffusionVideoAutoencoder, name: str) -> list[str]:
    """All that an edit of `name` may preserve: the model's other attributes, but for those that exclude it."""
    excluded = next((group for group in GROUPS if name in group), (name,))
    return [other for other in model.attributes.names if other not in excluded]


def summary(
    measured: Sequence[Toggled], aucs: Mapping[str, float], aucs_of_directions: Mapping[str, float]
) -> dict[str, Any]:
    """Numbers of each attribute under "each", and over all of them. Both AUCs are by attribute."""
    names = [name for name in aucs if any(one.name == name for one in measured)]
    each = {
        name: {"auc": aucs[name], "auc_of_direction": aucs_of_directions[name]}
        | _about([one for one in measured if one.name == name])
        for name in names
    }
    directions = [one[key] for one in each.values() for key in ("success_on", "success_off") if one[key] is not None]
    return {
        "mean_auc": _mean([one["auc"] for one in each.values()]),
        "mean_auc_of_directions": _mean([one["auc_of_direction"] for one in each.values()]),
        **{
            f"mean_{key}": _mean([one[key] for one in each.values()])
            for key in ("success", "success_preserved")
        },
        "min_success": min(directions, default=None),
        **{
            key: _mean([one[key] for one in each.values()])
            for key in (
                "side_effects", "side_effects_preserved", "side_effects_of_truth", "colour_change", "colour_flicker",
            )
        },
        "not_measured": [name for name, one in each.items() if one["success"] is None],
        "each": each,
    }  # fmt: skip


def _toggle(
    model: DiffusionVideoAutoencoder, judges: Judges, seed: int, names: Sequence[str], frames: int, watch: Watch,
    steps: int, batch_size: int, cancelled: Cancel,
) -> list[Toggled]:  # fmt: skip
    """Every named edit of one clip, plain and preserving, decoded together."""
    options = {"batch_size": batch_size, "cancelled": cancelled}
    size, person = model.config.image_size, sample_person(seed)
    clip = encode_clip(model, filmed(seed, frames, size), steps, **options)
    wanted = {name: not person.attributes[name] for name in names}
    edits = {name: {name: SCALE if on else -SCALE} for name, on in wanted.items()}
    identities = [edit_clip(model, clip, edits[name]) for name in names]
    identities += [edit_clip(model, clip, edits[name], preserve=preserved(model, name)) for name in names]
    decoded = sweep_clip(model, clip, identities, **options)
    before, scores = judges.answers(clip.crops), judges.scores(clip.crops)
    results = []
    for name, plain, preserving in zip(names, decoded[: len(names)], decoded[len(names) :], strict=True):
        changed = set_attribute(person, name, wanted[name])
        truth = filmed(seed, frames, size, person=changed)
        others = [other for other in scores if person.attributes[other] == changed.attributes[other]]
        change, flicker = judge.colour_change(*map(_unit, (clip.crops, plain)), ~_changed(clip.crops, truth))
        results.append(
            Toggled(
                name=name,
                wanted=wanted[name],
                told=judge.flipped(before, judges.answers(truth), name, wanted[name]),
                success=judge.flipped(before, judges.answers(plain), name, wanted[name]),
                success_preserved=judge.flipped(before, judges.answers(preserving), name, wanted[name]),
                side_effects=judge.changed_scores(scores, judges.scores(plain), others),
                side_effects_preserved=judge.changed_scores(scores, judges.scores(preserving), others),
                side_effects_of_truth=judge.changed_scores(scores, judges.scores(truth), others),
                colour_change=change,
                colour_flicker=flicker,
            )
        )
        watch.tick()
    return results


def _about(group: Sequence[Toggled]) -> dict[str, Any]:
    on, off = ([one for one in group if one.wanted == wanted] for wanted in (True, False))
    found: dict[str, Any] = {}
    for key in ("success", "success_preserved"):
        both = [_success(side, key) for side in (on, off)]
        found[key] = None if None in both else fmean(both)
        found |= {f"{key}_on": both[0], f"{key}_off": both[1]}
    found |= {"told_on": _mean([one.told for one in on]), "told_off": _mean([one.told for one in off])}
    found |= {"clips_on": len(on), "clips_off": len(off)}
    keys = "side_effects", "side_effects_preserved", "side_effects_of_truth", "colour_change", "colour_flicker"
    return found | {key: fmean(getattr(one, key) for one in group) for key in keys}


def _success(side: Sequence[Toggled], key: str) -> float | None:
    told = [getattr(one, key) for one in side if one.told]
    return fmean(told) if len(told) >= FEWEST_TOLD else None


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of what was measured, None when nothing was."""
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None


def _unit(crops: Tensor) -> Tensor:
    return (crops + 1) / 2


def _changed(before: Tensor, after: Tensor) -> Tensor:
    return judge.changed_region(_unit(before), _unit(after))
