"""Attribute edits: moving an identity along one straight line for each of the 40 CelebA attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DvaError
from ..values import IDENTITY_FEATURES, Identity

CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
"""The attributes of CelebA (Liu et al. 2015) in its order: the rows of every table of directions."""

LEAST_LEFT = 0.2
"""Of a direction's length, what has to be left beside those that are preserved."""

Move = Literal["to_class", "shift", "along", "along_plain"]


class AttributeDirections(nn.Module):
    """One direction an attribute, in identity features normalised by `mean` and `std`.

    Buffers, all float32 but `trained`: weight [40,512], of any length; mean [512], std [512]; trained bool [40]: rows
    that mean something. How far a direction reaches: `midpoint` [40] and `half_distance` [40] of the components that
    people without and with the attribute have along it, and `strength` [40], how many half distances beyond the
    midpoint the default edit ends. Where both ends were calibrated, the midpoint is the middle between them. The three
    are NaN in tables that know the directions only.
    """

    def __init__(self) -> None:
        super().__init__()
        rows = len(CELEBA_ATTRIBUTES)
        self.register_buffer("weight", torch.zeros(rows, IDENTITY_FEATURES))
        self.register_buffer("mean", torch.zeros(IDENTITY_FEATURES))
        self.register_buffer("std", torch.ones(IDENTITY_FEATURES))
        self.register_buffer("trained", torch.zeros(rows, dtype=torch.bool))
        for name in ("midpoint", "half_distance", "strength"):
            self.register_buffer(name, torch.full((rows,), math.nan))

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that can be edited, in CelebA's order."""
        return tuple(name for name, known in zip(CELEBA_ATTRIBUTES, self.trained.tolist(), strict=True) if known)

    @property
    def reach_known(self) -> bool:
        """Whether scale 1 can mean full strength for all of them."""
        return _reach_known(self, self.trained.nonzero().flatten().tolist())

    def row(self, name: str) -> int:
        """The row of an attribute; DvaError listing what is known when it is unknown or has no direction."""
        if name in self.names:
            return CELEBA_ATTRIBUTES.index(name)
        reason = "has no direction in this model" if name in CELEBA_ATTRIBUTES else "is no attribute"
        raise DvaError(f"'{name}' {reason}; choose one of: {', '.join(self.names) or 'none, this model has none'}.")


def edit_identity(
    identity: Identity, directions: AttributeDirections, edits: Mapping[str, float], *,
    preserve: Sequence[str] = (), move: Move | None = None,
) -> Identity:  # fmt: skip
    """The identity with attributes changed: {"Eyeglasses": 1.0} puts glasses on, -1.0 takes them off, 0 does nothing.

    "to_class": scale 1 ends at one place of the direction, whatever the face was: `strength` half distances beyond
    the midpoint between people without and with the attribute (-1: on the other side). Smaller scales go that part
    of the way, larger ones end proportionally farther out. Several attributes are reached together by the shortest
    way, so their order does not matter. Needs rows whose reach is known.
    "along", "along_plain": the published moves (Kim et al. 2023, Sec. 3.4) in normalised and in plain features, one
    attribute after the other: see `move_along`. The scale is the published one, where 0.3 is much.
    "shift": "along", but the features keep their length, so that small scales do little and scale 0 nothing.
    Left out, it is "to_class" where the reach of all rows is known, otherwise "shift".

    `preserve` names attributes along whose directions nothing moves: the part of an edit that would is left out
    (conditional manipulation by projection, Shen et al. 2020, Sec. 3.3).

    Raises DvaError for attributes that the table does not know, scales that are no finite number, and edits of which
    next to nothing is left beside what is preserved.
    """
    check_edits(directions, edits, preserve)
    wanted = {directions.row(name): float(scale) for name, scale in edits.items() if scale != 0}
    if not wanted:
        return identity
    kept = [directions.row(name) for name in preserve]
    features = identity.features.to(directions.weight.device)
    if move is None:
        move = "to_class" if _reach_known(directions, list(wanted)) else "shift"
    if move == "to_class":
        features = _move_to_class(features, directions, wanted, kept)
    else:
        length = features.norm(dim=-1, keepdim=True)
        for row, scale in wanted.items():
            weight = directions.weight[row] - _within(directions.weight[kept], directions.weight[row])
            normalized = move != "along_plain"
            features = move_along(features, weight, directions.mean, directions.std, scale, normalized)
        if move == "shift":
            features = features * length
    return replace(identity, features=features.to(identity.features.device))


def check_edits(
    directions: AttributeDirections, edits: Mapping[str, float], preserve: Sequence[str] = ()
) -> None:
    """Raises DvaError where `edit_identity` would, whoever is edited."""
    kept = directions.weight[[directions.row(name) for name in preserve]]
    for name, scale in edits.items():
        weight = directions.weight[directions.row(name)]
        if not math.isfinite(scale):
            raise DvaError(f"The scale of '{name}' must be a finite number, not {scale}.")
        if name in preserve:
            raise DvaError(f"'{name}' cannot be edited and preserved at once; leave one of them out.")
        if (weight - _within(kept, weight)).norm() < LEAST_LEFT * weight.norm():
            raise DvaError(f"'{name}' is too much like what is preserved ({', '.join(preserve)}); preserve less.")


def move_along(m: Tensor, w: Tensor, mean: Tensor, std: Tensor, scale: float, normalized: bool = True) -> Tensor:
    """The published edit of identity features m [N,512] along w [512], both in plain and in normalised features.

    normalized: m' = normalize((n + scale * sqrt(512) * w/|w|) * std + mean) with n = (m - mean) / std. Otherwise
    m' = normalize(m + scale * sqrt(512) * w). The result has length 1 although a clip's mean is shorter, so scale 0
    is not quite nothing: this is how published results were made.
    """
    step = scale * math.sqrt(m.shape[-1])
    if not normalized:
        return F.normalize(m + step * w, dim=-1)
    return F.normalize(((m - mean) / std + step * F.normalize(w, dim=-1)) * std + mean, dim=-1)


def _move_to_class(
    features: Tensor, table: AttributeDirections, wanted: dict[int, float], kept: list[int]
) -> Tensor:
    rows = list(wanted)
    if not _reach_known(table, rows):
        raise DvaError(
            "This model knows attribute directions but not how far they reach; use the move 'shift' (in ComfyUI: "
            "along, normalised)."
        )
    scale = torch.tensor(list(wanted.values()), dtype=torch.float64, device=features.device)
    along = F.normalize(table.weight[rows].double(), dim=1)
    mean, std = table.mean.double(), table.std.double()
    normalised = (features.double() - mean) / std
    here = normalised @ along.T
    reach = scale.sign() * scale.abs().clamp(min=1) * (table.strength * table.half_distance)[rows].double()
    change = scale.abs().clamp(max=1) * (table.midpoint[rows].double() + reach - here)
    # The smallest shift whose component along every named direction is the wanted change, and none along those kept.
    along = torch.cat([along, F.normalize(table.weight[kept].double(), dim=1)])
    change = F.pad(change, (0, len(kept)))
    shift = change @ torch.linalg.pinv(along @ along.T) @ along
    return ((normalised + shift) * std + mean).float()


def _reach_known(table: AttributeDirections, rows: list[int]) -> bool:
    return bool((table.strength * table.half_distance + table.midpoint)[rows].isfinite().all())


def _within(rows: Tensor, vector: Tensor) -> Tensor:
    """The part of a vector [512] that lies in the space of rows [K,512]."""
    return (vector.double() @ torch.linalg.pinv(rows.double()) @ rows.double()).to(vector)
