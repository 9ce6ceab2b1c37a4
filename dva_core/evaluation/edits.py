"""`dva eval edits`: every kind of edit on rendered people that no training has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_STEPS
from ..editing.mixing import interpolate_identities
from ..editing.sweep import sweep_clip
from ..editing.text import shift_identity
from ..editing.timeline import Curve
from ..editing.transfer import with_motion, with_person
from ..pipeline import decode_clip, edit_clip, encode_clip
from ..progress import Cancel, Progress, Watch, never, silent
from ..synthetic import sample_person
from ..values import EncodedClip, Identity, IdentityShift
from . import attribute_edits, mixing, text
from .auc import attribute_aucs, auc
from .demo import held_out_people
from .judges import Judges
from .people import filmed
from .targets import Target, check_targets

AUC_FRAMES = 4
SECONDS = 60.0


@dataclass(frozen=True)
class Effort:
    """How much is tried, everything with `steps` of the default solver.

    Each attribute is put on in `clips` clips of `frames` frames, and taken off in as many; each text is tried on
    `text_clips`; identity and motion are switched in `pairs` clips of `pair_frames` frames. The linear classifier
    learns from `auc_people` in `auc_steps` and is tried on `auc_held_out`; poses are learned from `pose_people`.
    """

    clips: int = 5
    frames: int = 4
    text_clips: int = 2
    pairs: int = 10
    pair_frames: int = 12
    auc_people: int = 1500
    auc_steps: int = 9375
    auc_held_out: int = 300
    pose_people: int = mixing.PEOPLE
    steps: int = DEFAULT_STEPS


HOW = {
    **attribute_edits.HOW,
    "attributes.mean_auc": "of the classifier of `dva train attributes`, linear in z_id, trained on auc_people rendered"
    f" people of the training range: area under the ROC curve on the mean z_id of {AUC_FRAMES} pictures each of"
    " auc_held_out held-out people; mean over the attributes that the model edits. auc_of_direction is the same for"
    " the position along the edit's own direction",
    **mixing.HOW,
    **text.HOW,
    "zero_strength_max_difference": "one clip decoded after every kind of edit at strength 0 (each attribute, with and"
    " without preserving, a curve of zeros, a sweep, a text shift, an identity mixed in, its own motion, its own"
    " background): the largest difference of any pixel from its reconstruction, -1..1",
}

TARGETS = (
    Target("attributes.mean_auc", at_least=0.95),
    Target("attributes.mean_success", at_least=0.85),
    Target("attributes.min_success", at_least=0.60),
    Target("attributes.side_effects", at_most=0.10),
    Target("attributes.side_effects_preserved", at_most=0.05),
    Target("text.success", at_least=0.80),
    Target("text.seconds", at_most=SECONDS),
    Target("mixing.identity_switch", at_least=0.90),
    Target("mixing.motion_yaw_error_deg", at_most=5.0),
    Target("mixing.motion_pitch_error_deg", at_most=5.0),
    Target("mixing.mouth_correlation", at_least=0.90),
    Target("zero_strength_max_difference", at_most=0.0),
)


def evaluate_edits(
    model: DiffusionVideoAutoencoder, judges: Judges, effort: Effort = Effort(), seed: int = 0, *,
    batch_size: int = 16, progress: Progress = silent, cancelled: Cancel = never,
) -> dict[str, Any]:  # fmt: skip
    """Measures attribute edits, text edits, mixing and strength 0 on held-out people that `seed` chooses.

    Returns the JSON-able report: the numbers, how each was made, the targets and whether they are met. Raises
    Cancelled, and DvaError when there are too few people for so many clips.
    """
    options = {"steps": effort.steps, "batch_size": batch_size, "cancelled": cancelled}
    names, clips = model.attributes.names, effort.clips
    readers = linear_readers(model, effort, seed, progress, cancelled)
    watch = Watch("edit attributes", 2 * clips * len(names), progress, cancelled)
    toggled = attribute_edits.measure_attributes(model, judges, clips, effort.frames, seed, watch, **options)
    reader = mixing.fit_pose_reader(model, effort.pose_people)
    people = held_out_people(effort.pairs, seed)
    watch = Watch("switch people", len(people), progress, cancelled)
    switched = mixing.measure_mixing(model, judges, people, effort.pair_frames, reader, watch, **options)
    report = {
        "model": model.name,
        "seed": seed,
        "effort": asdict(effort),
        "scale": attribute_edits.SCALE,
        "attributes": attribute_edits.summary(toggled, *readers),
        "text": text.measure_text(model, judges, effort.text_clips, effort.frames, seed, progress=progress, **options),
        "mixing": mixing.summary(switched),
        "zero_strength_max_difference": zero_strength_difference(model, seed, **options),
        "how": HOW,
    }
    return report | check_targets(report, TARGETS)


def linear_readers(
    model: DiffusionVideoAutoencoder, effort: Effort, seed: int, progress: Progress = silent, cancelled: Cancel = never
) -> tuple[dict[str, float], dict[str, float]]:
    """AUC on held-out people, attribute -> value: of a linear classifier, and of the edit's own direction."""
    from ..training.attributes import ClassifierFitting, train_attribute_classifier
    from ..training.encoded import encode_rendered

    known = encode_rendered(model, effort.auc_people, progress, cancelled).about(model.attributes.names)
    fitting = ClassifierFitting(effort.auc_steps)
    classifier = train_attribute_classifier(known, fitting, progress, cancelled)
    watch = Watch("encode held-out", effort.auc_held_out, progress, cancelled)
    features, labels = [], []
    for person in held_out_people(effort.auc_held_out, seed):
        crops = filmed(person, AUC_FRAMES, model.config.image_size)
        features.append(model.encode_identity(crops).features.mean(0))
        attributes = sample_person(person).attributes
        labels.append([attributes[name] for name in classifier.names])
        watch.tick()
    features, labels = torch.stack(features), torch.tensor(labels)
    table = model.attributes
    normalised = (features - table.mean.cpu()) / table.std.cpu()
    along = {name: normalised @ table.weight[table.row(name)].cpu() for name in classifier.names}
    aucs = attribute_aucs(features, labels, classifier)
    return aucs, {name: auc(along[name], labels[:, classifier.names.index(name)]) for name in aucs}


def zero_strength_difference(
    model: DiffusionVideoAutoencoder,
    seed: int,
    frames: int = 2,
    *,
    steps: int = DEFAULT_STEPS,
    batch_size: int = 8,
    cancelled: Cancel = never,
) -> float:
    """The largest difference that any kind of edit at strength 0 makes to a held-out clip's reconstruction."""
    options = {"batch_size": batch_size, "cancelled": cancelled}
    person, other = held_out_people(2, seed)
    clip = encode_clip(model, filmed(person, frames, model.config.image_size), steps, **options)
    stranger = model.encode_identity(filmed(other, frames, model.config.image_size))
    own = clip.identity.mean()
    reconstruction = decode_clip(model, clip, own, **options)
    identities = [own, *_unmoved(model, clip, stranger).values()]
    decoded = [*sweep_clip(model, clip, identities, **options)]
    decoded += [decode_clip(model, clip, identity, **options) for identity in _one_of_each(identities)]
    for same in (with_motion(clip, clip.landmark_codes), with_person(clip, clip.identity, clip.landmark_codes)):
        decoded.append(decode_clip(model, same, own, **options))
    return max(float((crops - reconstruction).abs().max()) for crops in decoded)


def _unmoved(model: DiffusionVideoAutoencoder, clip: EncodedClip, other: Identity) -> Mapping[str, Identity]:
    """The clip's identity after every edit that changes identities, at strength 0."""
    own = clip.identity.mean()
    shift = IdentityShift(other.mean().features - own.features, model.name, "nothing of somebody else")
    found: dict[str, Identity] = {}
    for name in model.attributes.names:
        keep = attribute_edits.preserved(model, name)
        found[name] = edit_clip(model, clip, {name: 0.0})
        found[f"{name}, preserving"] = edit_clip(model, clip, {name: 0.0}, preserve=keep)
    if model.attributes.names:
        name = model.attributes.names[0]
        found["curve"] = edit_clip(model, clip, {name: 1.0}, strengths=Curve(((0.0, 0.0),)))
    return found | {
        "text": shift_identity(own, shift, 0.0),
        "mix": interpolate_identities(clip.identity, other, 0.0),
    }


def _one_of_each(identities: list[Identity]) -> list[Identity]:
    """Identities that differ in a single bit, each once: equal ones would be decoded alike."""
    different: list[Identity] = []
    for identity in identities:
        if not any(_equal(identity.features, known.features) for known in different):
            different.append(identity)
    return different


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(a, b))
