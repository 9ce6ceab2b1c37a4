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
    model = _one_model(identities)
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
    return Identity(mixed, model)


def interpolate_identities(a: Identity, b: Identity, amount: float) -> Identity:
    """Somebody between two people, [1,512]: amount 0 gives the mean of `a`, 1 that of `b`, both bit for bit.

    Spherical: the direction turns evenly from one mean to the other, and the length goes straight. A plain mean of
    two people would be shorter than either, and a short identity is one that the net is unsure of (the mean of a
    person's frames is short where they differ). The paper averages over one clip only (Kim et al. 2023, Sec. 3.1).
    Raises DvaError for identities of different models and amounts outside 0..1.
    """
    model = _one_model([a, b])
    if not 0 <= amount <= 1:
        raise DvaError(f"The amount of the other identity must be within 0 (none) and 1 (all), not {amount}.")
    a, b = a.mean(), b.mean()
    if amount in (0, 1):
        return b if amount == 1 else a
    start, end = a.features.double(), b.features.double()
    here, there = F.normalize(start, dim=1), F.normalize(end, dim=1)
    cosine = (here * there).sum()
    aside = there - cosine * here
    angle = amount * torch.atan2(aside.norm(), cosine)
    direction = torch.cos(angle) * here + torch.sin(angle) * F.normalize(aside, dim=1)
    return Identity((direction * torch.lerp(start.norm(), end.norm(), amount)).float(), model)


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


def _one_model(identities: Sequence[Identity]) -> str:
    models = sorted({identity.model for identity in identities})
    if len(models) > 1:
        raise DvaError(f"Identities of different models ({', '.join(models)}) cannot be mixed; encode all with one.")
    return models[0]
