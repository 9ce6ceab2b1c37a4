"""`dva train attributes`: a linear classifier of attributes and the directions of edits, from features of known people.

The published recipe is one linear layer on normalised z_id, binary cross-entropy, Adam at 1e-3, batches of 32 pictures
that are mirrored at random (Kim et al. 2023, Sec. 3.4). The encoder is frozen, so what it says of a picture and of its
mirror image never changes: both are encoded once and the 9,375 steps run on features, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections
from ..errors import DvaError
from ..evaluation.auc import LinearClassifier, attribute_aucs
from ..progress import Cancel, Progress, Watch, never, silent
from .data import random_batches
from .directions import LabelledFeatures, class_mean_directions, classifier_directions, cosines_with, likeness

FEWEST, FEWEST_HELD_OUT = 8, 2
"""People with an attribute, and as many without it, that training and measuring need."""

Kind = Literal["means", "classifier"]

HOW = {
    "auc": "the chance that somebody who has the attribute gets a higher logit than somebody who lacks it (ties count "
    "half), over people held out of the training; a person is the mean of the features of all their pictures",
    "mean_auc": "over the attributes that are trained; mean_auc_of_all: over those left out for their AUC as well",
    "auc_of_single_pictures": "the same, each picture for itself",
    "auc_of_class_means": "the same, the component along the difference of the class means being the logit",
    "cosine_of_classifier_and_means": "between the two kinds of directions, in normalised features",
    "cosine_with_truth": "between a direction and the mean way of the features of other people who are rendered with "
    "and without the attribute in the same pose, scene and light; only for rendered faces",
}
"""What the numbers of the report mean."""


@dataclass(frozen=True)
class ClassifierFitting:
    """The published effort. The learning rate falls evenly to nothing, where the published one stays."""

    steps: int = 9375
    batch_size: int = 32
    rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class AttributeTraining:
    """`held_out` is the share of people kept for measuring, whom `fitting.seed` chooses. Attributes whose AUC is below
    `least_auc` stay untrained: a direction that cannot tell who has it would edit at random."""

    directions: Kind = "means"
    fitting: ClassifierFitting = ClassifierFitting()
    held_out: float = 0.2
    least_auc: float = 0.6


@dataclass(frozen=True, eq=False)
class TrainedAttributes:
    """`table` is for a model; `classifier` has every attribute with examples enough; `report`, JSON-able, says what was
    measured and how, and under "untrained" why an attribute is not in the table."""

    table: AttributeDirections
    classifier: LinearClassifier
    report: dict[str, Any]


def train_attributes(
    known: LabelledFeatures, config: AttributeTraining = AttributeTraining(),
    shifts: Mapping[str, Tensor] | None = None, progress: Progress = silent, cancelled: Cancel = never,
) -> TrainedAttributes:  # fmt: skip
    """Trains on a part of the people and measures on the others.

    Both kinds of directions come from the part that the classifier saw; `config.directions` says which the table has,
    and both are in the report. `shifts`: attribute -> the true way of plain features [512], where that is known.
    Raises DvaError when no attribute has examples enough or none can be told from the features, and Cancelled.
    """
    training, held_out = split(known, config.held_out, config.fitting.seed)
    untrained = _too_few(training, held_out)
    names = [name for name in known.names if name not in untrained]
    if not names:
        name, reason = next(iter(untrained.items()))
        raise DvaError(f"No attribute has examples enough, such as {name}: {reason}; give more pictures.")
    training, held_out = training.about(names), held_out.about(names)
    classifier = train_attribute_classifier(training, config.fitting, progress, cancelled)
    tables = {"means": class_mean_directions(training), "classifier": classifier_directions(training, classifier)}
    measured = _measured(known, held_out, classifier, tables, shifts or {})
    table = tables[config.directions]
    for name, found in measured.items():
        if found["auc"] < config.least_auc:
            untrained[name] = f"its AUC is {found['auc']:.2f}: the features of this model hardly tell it"
            table.trained[CELEBA_ATTRIBUTES.index(name)] = False
        elif name not in table.names:
            untrained[name] = "its weight points away from those who have it"
    if not table.names:
        best = max(found["auc"] for found in measured.values())
        raise DvaError(
            f"None of {len(names)} attributes can be told from this model's features (the best AUC is {best:.2f}, and "
            f"{config.least_auc:g} is asked for); check that labels and pictures belong together, or give more."
        )
    report = {
        "directions": config.directions,
        "people": {"training": len(training.labels), "held_out": len(held_out.labels)},
        "pictures": {"training": len(training.features), "held_out": len(held_out.features)},
        **_means_of({name: found for name, found in measured.items() if name in table.names}),
        "mean_auc_of_all": fmean(found["auc"] for found in measured.values()),
        "attributes": {name: {"trained": name in table.names, **found} for name, found in measured.items()},
        "untrained": untrained,
        "training": asdict(config),
        "how": HOW,
    }
    return TrainedAttributes(table, classifier, report)


def train_attribute_classifier(
    known: LabelledFeatures, fitting: ClassifierFitting = ClassifierFitting(),
    progress: Progress = silent, cancelled: Cancel = never,
) -> LinearClassifier:  # fmt: skip
    """A linear classifier of all attributes of `known`, from the features of single pictures.

    It begins at zero, and `fitting.seed` decides the batches: the same data give the same classifier.
    """
    mean, std = known.scaling
    features, labels = (known.features - mean) / std, known.labels[known.person].float()
    layer = nn.Linear(features.shape[1], len(known.names))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=fitting.rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, fitting.steps)
    watch = Watch("train classifier", fitting.steps, progress, cancelled)
    batches = random_batches(len(features), min(fitting.batch_size, len(features)), fitting.steps, fitting.seed)
    with _one_thread():
        for batch in batches:
            rows = torch.from_numpy(batch)
            loss = F.binary_cross_entropy_with_logits(layer(features[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            watch.tick()
    return LinearClassifier(known.names, layer.weight.detach(), layer.bias.detach(), mean, std)


def split(known: LabelledFeatures, held_out: float, seed: int) -> tuple[LabelledFeatures, LabelledFeatures]:
    """The people to train on, and a share of them to measure on, whom `seed` chooses; nobody is in both."""
    order = torch.from_numpy(np.random.default_rng([7, seed]).permutation(len(known.labels)))
    count = round(held_out * len(order))
    return known.of(order[count:].sort().values), known.of(order[:count].sort().values)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For steps so small that further threads cost more than they bring, and very much more where others work too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _too_few(training: LabelledFeatures, held_out: LabelledFeatures) -> dict[str, str]:
    """Attributes with too few examples on a side, and how many those are."""
    few = {}
    for column, name in enumerate(training.names):
        counts = [
            (int(has.sum()), int((~has).sum())) for has in (training.labels[:, column], held_out.labels[:, column])
        ]
        if min(counts[0]) < FEWEST or min(counts[1]) < FEWEST_HELD_OUT:
            on, off = (sum(count) for count in zip(*counts, strict=True))
            few[name] = f"{on} with it and {off} without it are too few"
    return few


def _measured(
    known: LabelledFeatures, held_out: LabelledFeatures, classifier: LinearClassifier,
    tables: Mapping[str, AttributeDirections], shifts: Mapping[str, Tensor],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """What is known of each attribute of the classifier."""
    people, labels = held_out.people, held_out.labels
    means = tables["means"]
    along = torch.stack([F.normalize(means.weight[means.row(name)], dim=0) for name in classifier.names])
    by_means = LinearClassifier(classifier.names, along, torch.zeros(len(along)), means.mean, means.std)
    columns = {
        "auc": attribute_aucs(people, labels, classifier),
        "auc_of_single_pictures": attribute_aucs(held_out.features, labels[held_out.person], classifier),
        "auc_of_class_means": attribute_aucs(people, labels, by_means),
        "cosine_of_classifier_and_means": likeness(tables["classifier"], means),
    }
    if shifts:
        columns |= {f"cosine_with_truth_of_{kind}": cosines_with(table, shifts) for kind, table in tables.items()}
    measured = {}
    for name in classifier.names:
        has = known.labels[:, known.names.index(name)]
        counts = {"with": int(has.sum()), "without": int((~has).sum())}
        measured[name] = counts | {column: values.get(name) for column, values in columns.items()}
    return measured


def _means_of(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    columns = [column for column in next(iter(measured.values())) if column.startswith(("auc", "cosine"))]
    return {f"mean_{column}": _mean(found[column] for found in measured.values()) for column in columns}


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None
