"""Attribute directions from identity features of people whose attributes are known: by class means or a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections
from ..errors import DvaError
from ..evaluation.auc import LinearClassifier
from .rendered import FaceSet

FEWEST_PEOPLE = 4
LEAST_SPREAD = 1e-6
"""A feature that is the same in all pictures is divided by this and not by its spread of 0."""


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """What a model sees of people whose attributes are known.

    features float32 [N,512]: z_id of N pictures; person int64 [N]: whom each shows, a row of labels bool [P,A], whose
    columns are `names`, attributes of CelebA. Everybody has a picture.
    """

    features: Tensor
    person: Tensor
    labels: Tensor
    names: tuple[str, ...]

    @property
    def people(self) -> Tensor:
        """The mean features of each person's pictures [P,512], as a clip's identity is."""
        count = torch.bincount(self.person, minlength=len(self.labels)).clamp(min=1)
        total = torch.zeros(len(self.labels), self.features.shape[1]).index_add_(0, self.person, self.features)
        return total / count[:, None]

    @property
    def scaling(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the features over the pictures [512]."""
        return self.features.mean(0), self.features.std(0).clamp(min=LEAST_SPREAD)

    def of(self, people: Tensor) -> LabelledFeatures:
        """Only these people, int64 [Q], in this order."""
        place = torch.full((len(self.labels),), -1)
        place[people] = torch.arange(len(people))
        theirs = place[self.person] >= 0
        person = place[self.person[theirs]]
        return replace(self, features=self.features[theirs], person=person, labels=self.labels[people])

    def about(self, names: Sequence[str]) -> LabelledFeatures:
        """Only these attributes, in this order."""
        return replace(self, labels=self.labels[:, [self.names.index(name) for name in names]], names=tuple(names))


def attribute_directions(features: Tensor, faces: FaceSet, strength: float = 1.0) -> AttributeDirections:
    """The differences of class means for every attribute that at least four people have and four lack.

    features: z_id [N,512] of the pictures of `faces`. `strength` is stored for all, to be calibrated.
    Raises DvaError when features and pictures do not match.
    """
    if len(features) != len(faces.person):
        raise DvaError(f"{len(features)} features do not fit {len(faces.person)} pictures; encode the same face set.")
    person, labels = (torch.as_tensor(np.asarray(array)) for array in (faces.person, faces.attributes))
    return class_mean_directions(LabelledFeatures(features, person, labels, faces.attribute_names), strength)


def class_mean_directions(known: LabelledFeatures, strength: float = 1.0) -> AttributeDirections:
    """From the mean of the people without an attribute to the mean of those with it.

    Where attributes are independent of each other, as in rendered faces, this comes near to the way from a person to
    the same person with the attribute: in the demo model a cosine of 0.90 on average, where the weights of a classifier
    that tells them better have 0.69. Classes are made of people: the mean of their pictures. An attribute that fewer
    than four have or lack stays untrained.
    """
    mean, std = known.scaling
    table = _empty_table(mean, std)
    for name, (on, off) in _classes(known, mean, std).items():
        _fill(table, name, on - off, on, off, strength)
    return table


def classifier_directions(known: LabelledFeatures, classifier: LinearClassifier) -> AttributeDirections:
    """The weights of a linear classifier, as published (Kim et al. 2023, Sec. 3.4), and how far they reach in `known`.

    Along such a weight the classes lie closer together than their means do, as it avoids what varies among people, so
    an edit that only went to the other class there would show less. The strength is the one whose edit, begun at the
    mean of people without the attribute, is as long as the way between the class means. An attribute that fewer than
    four have or lack stays untrained, and so does one whose weight points away from those who have it.
    """
    table = _empty_table(classifier.mean, classifier.std)
    for name, (on, off) in _classes(known, classifier.mean, classifier.std).items():
        weight = classifier.weight[classifier.names.index(name)]
        half_distance = float((on - off) @ F.normalize(weight, dim=0)) / 2
        if half_distance > 0:
            _fill(table, name, weight, on, off, float((on - off).norm()) / half_distance - 1)
    return table


def cosines_with(table: AttributeDirections, shifts: Mapping[str, Tensor]) -> dict[str, float]:
    """The cosine of each direction with a shift [512] of plain features, in the table's normalised features."""
    return {
        name: float(F.cosine_similarity(table.weight[table.row(name)], shift / table.std, dim=0))
        for name, shift in shifts.items()
        if name in table.names
    }


def likeness(table: AttributeDirections, other: AttributeDirections) -> dict[str, float]:
    """The cosine between the directions of two tables, whatever each normalises by, for what both have trained."""
    shifts = {name: other.weight[other.row(name)] * other.std for name in other.names}
    return cosines_with(table, shifts)


def _empty_table(mean: Tensor, std: Tensor) -> AttributeDirections:
    table = AttributeDirections()
    table.mean.copy_(mean)
    table.std.copy_(std)
    return table


def _classes(known: LabelledFeatures, mean: Tensor, std: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """attribute -> the mean normalised features of the people with it and of those without, [512] each."""
    people = (known.people - mean) / std
    classes = {}
    for name, has in zip(known.names, known.labels.T, strict=True):
        if min(int(has.sum()), int((~has).sum())) >= FEWEST_PEOPLE:
            classes[name] = people[has].mean(0), people[~has].mean(0)
    return classes


def _fill(table: AttributeDirections, name: str, way: Tensor, on: Tensor, off: Tensor, strength: float) -> None:
    row, along = CELEBA_ATTRIBUTES.index(name), F.normalize(way, dim=0)
    table.weight[row] = way
    table.trained[row] = True
    table.midpoint[row] = (on + off) @ along / 2
    table.half_distance[row] = (on - off) @ along / 2
    table.strength[row] = strength
