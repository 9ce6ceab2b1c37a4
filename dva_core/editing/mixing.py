"""Several identities made one: the same person seen more surely, or somebody in between."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..errors import DvaError
from ..values import Identity

FEWEST_ROWS = 4
# Rows farther below the typical likeness than so many typical deviations are outliers.
FAR = 3.5
# Likenesses closer together than this are all good: nothing is thrown out of a clip without a bad frame.
LEAST_DEVIATION = 0.01


def average_identities(
    identities: Sequence[Identity], weights: Sequence[float] | None = None, reject_outliers: bool = False
) -> Identity:
    """One identity [1,512]: the weighted mean of the mean of each (Kim et al. 2023 average over one clip only).

    Only the ratios of the weights count, and negative ones move away from a person. `reject_outliers` leaves out the
    rows of an identity that `likely_rows` calls unlike the rest. Raises DvaError for identities of different models,
    none at all, or weights that do not fit or add up to nothing.
    """
    if not identities:
        raise DvaError("There is no identity to average; give at least one.")
    models = sorted({identity.model for identity in identities})
    if len(models) > 1:
        raise DvaError(f"Identities of different models ({', '.join(models)}) cannot be mixed; encode all with one.")
    weights = [1.0] * len(identities) if weights is None else list(weights)
    if len(weights) != len(identities):
        raise DvaError(f"There are {len(identities)} identities and {len(weights)} weights; give one weight for each.")
    total = sum(weights)
    if not abs(total) > 1e-6:
        raise DvaError("The weights of the identities add up to nothing; raise at least one of them.")
    means = [
        (one.features[likely_rows(one)] if reject_outliers else one.features).mean(0, keepdim=True)
        for one in identities
    ]
    mixed = sum(weight / total * mean for weight, mean in zip(weights, means, strict=True))
    return Identity(mixed, models[0])


def likely_rows(identity: Identity) -> torch.Tensor:
    """bool [N]: the rows that look like the rest, by cosine to the median face and the median absolute deviation.

    All rows where there are fewer than four.
    """
    features = F.normalize(identity.features, dim=1)
    if len(features) < FEWEST_ROWS:
        return torch.ones(len(features), dtype=torch.bool)
    likeness = features @ F.normalize(features.median(0).values, dim=0)
    middle = likeness.median()
    deviation = 1.4826 * (likeness - middle).abs().median()
    return likeness >= middle - FAR * deviation.clamp_min(LEAST_DEVIATION)
