"""Attribute directions from identity features of people whose attributes are known."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections
from ..errors import DvaError
from .rendered import FaceSet

FEWEST_PEOPLE = 4


def attribute_directions(features: Tensor, faces: FaceSet, strength: float = 1.0) -> AttributeDirections:
    """The differences of class means for every attribute that at least four people have and four lack.

    features: z_id [N,512] of the pictures of `faces`. Means, not a classifier's weights: those separate perfectly and
    still point mostly elsewhere than the way from a person to the same person with the attribute. Classes are made of
    people: the mean of their pictures, as a clip's identity is. `strength` is stored for all, to be calibrated.
    Raises DvaError when features and pictures do not match.
    """
    if len(features) != len(faces.person):
        raise DvaError(f"{len(features)} features do not fit {len(faces.person)} pictures; encode the same face set.")
    table = AttributeDirections()
    table.mean.copy_(features.mean(0))
    table.std.copy_(features.std(0))
    people = (_person_means(features, faces) - table.mean) / table.std
    has = torch.as_tensor(np.asarray(faces.attributes))
    for column, name in enumerate(faces.attribute_names):
        on, off = people[has[:, column]], people[~has[:, column]]
        if min(len(on), len(off)) < FEWEST_PEOPLE:
            continue
        row = CELEBA_ATTRIBUTES.index(name)
        way = on.mean(0) - off.mean(0)
        along = F.normalize(way, dim=0)
        table.weight[row] = way
        table.trained[row] = True
        table.midpoint[row] = (on.mean(0) + off.mean(0)) @ along / 2
        table.half_distance[row] = way.norm() / 2
        table.strength[row] = strength
    return table


def _person_means(features: Tensor, faces: FaceSet) -> Tensor:
    person = torch.as_tensor(np.asarray(faces.person))
    count = torch.bincount(person, minlength=len(faces.attributes)).clamp(min=1)
    return torch.zeros(len(faces.attributes), features.shape[1]).index_add_(0, person, features) / count[:, None]
