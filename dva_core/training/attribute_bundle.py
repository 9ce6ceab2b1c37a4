"""Attribute directions put into a model: the same bundle with another table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F

from .. import tensorfile
from ..autoencoder import ModelConfig
from ..editing.attributes import AttributeDirections
from ..errors import DvaError
from ..files import check_writable
from ..weights.bundle import KIND, SHIPPED, bundle_file, in_half, write_bundle
from .directions import likeness

SAME_WAY = 0.8
"""The cosine from which a direction counts as the one that a reach was found for."""
# What a bundle's summary says of the table that it has.
_ABOUT_THE_TABLE = ("attributes", "calibration", "classifier_bias")


def check_target(model: str | Path, out: str | Path, overwrite: bool = False) -> None:
    """DvaError when the bundle of `model` with another table cannot or should not be written to `out`.

    Only with `overwrite` may it take the place of the model that it comes from, or of one that comes with the package.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise DvaError(f"The bundle must be a .safetensors file, not {out}.")
    if out.is_dir():
        raise DvaError(f"{out} is a folder; give the name of the file to write, such as {out.stem}-mine.safetensors.")
    check_writable(out)
    if not out.exists() or overwrite:
        return
    if out.samefile(bundle_file(model)):
        raise DvaError(f"{out} is the model that is read; give --out another name, or --overwrite to replace it.")
    if out.resolve().parent == SHIPPED.resolve():
        raise DvaError(f"{out} comes with the package; give --out another name, or --overwrite to replace it.")


def keep_reach(table: AttributeDirections, given: AttributeDirections) -> tuple[str, ...]:
    """Lets edits end where those of `given` do, for attributes of which both tables point about the same way.

    How far those reach was found by looking at edits, which no AUC can replace. The new midpoint and strength put both
    ends, on a line through the mean face, where they lie along the direction of `given`. Returns whose reach is kept.
    """
    kept = []
    for name, cosine in likeness(table, given).items():
        row, known = table.row(name), given.row(name)
        reach = given.strength[known] * given.half_distance[known]
        if cosine < SAME_WAY or not (given.midpoint[known] + reach).isfinite():
            continue
        along, theirs = (F.normalize(each.weight[row], dim=0) for each in (table, given))
        start = (table.mean - given.mean) / given.std @ theirs
        slope = along * table.std / given.std @ theirs
        table.midpoint[row] = (given.midpoint[known] - start) / slope
        table.strength[row] = reach / slope / table.half_distance[row]
        kept.append(name)
    return tuple(kept)


def put_attributes(
    model: str | Path, table: AttributeDirections, out: str | Path, report: Mapping[str, Any], source: str
) -> None:
    """Writes the bundle of `model` with this table to `out`, whole or not at all; all other tensors stay bit for bit.

    `report` goes into its summary, in the place of what that said of the former table; `source`, such as "400 rendered
    people", into its provenance.
    """
    header, tensors = tensorfile.read(bundle_file(model), KIND)
    summary = {name: value for name, value in header["summary"].items() if name not in _ABOUT_THE_TABLE}
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith("attributes.")}
    rows = {f"attributes.{name}": in_half(tensor) for name, tensor in table.state_dict().items()}
    write_bundle(
        out, ModelConfig.from_json(header["config"]), others | rows, summary | {"attributes": dict(report)},
        header["licence"], f"{_before(header['provenance'])}{_MARK}{source}",
    )  # fmt: skip


_MARK = "; attribute directions by `dva train attributes` from "


def _before(provenance: str) -> str:
    """A provenance without what an earlier run of ours added."""
    return provenance.partition(_MARK)[0]
