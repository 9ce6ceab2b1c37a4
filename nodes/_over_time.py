"""One identity that changes over the clip on purpose, because the strength of an edit does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..dva_core.errors import DvaError
from ..dva_core.values import Identity

Edit = Callable[[Identity, float], Identity]
"""edit(identity, share of its strength) -> the edited identity."""


@dataclass(frozen=True, eq=False)
class IdentityOverTime(Identity):
    """One person, with a row for each crop, edited by as much as a curve says.

    Rows of single frames are averaged before an edit; these never are, which would flatten the curve.
    """

    def mean(self) -> Identity:
        raise DvaError(
            "This identity changes over time, because 'strengths' is connected to an edit before, and one for the "
            "whole clip is needed here; connect the identity from before that edit."
        )


def unchanging(identity: Identity) -> Identity:
    """The identity itself, also with a row for each frame; DvaError if it changes on purpose."""
    return identity.mean() if isinstance(identity, IdentityOverTime) else identity


def edited(identity: Identity, edit: Edit, strengths: Sequence[float] | None = None) -> Identity:
    """One identity for the clip; or, with a strength for each crop or edited with one before, a row for each crop.

    DvaError when strengths and rows are not as many.
    """
    changing = isinstance(identity, IdentityOverTime)
    person = identity if changing else identity.mean()
    if strengths is None:
        done = edit(person, 1.0)
        return IdentityOverTime(done.features, done.model) if changing else done
    rows = person.features if changing else person.features.expand(len(strengths), -1)
    if len(rows) != len(strengths):
        raise DvaError(
            f"'strengths' is for {len(strengths)} crops, and the identity changes over {len(rows)} already; make both "
            "curves with the track of one clip."
        )
    people = (Identity(row[None], person.model) for row in rows)
    parts = [edit(each, strength).features for each, strength in zip(people, strengths, strict=True)]
    return IdentityOverTime(torch.cat(parts), person.model)
