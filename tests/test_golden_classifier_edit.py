"""The published attribute edit gives the numbers of the reference implementation."""

from __future__ import annotations

import re

from dva_core.editing import move_along

from .golden import load_tensors

TOLERANCE = 1e-6


def test_golden_classifier_edit():
    golden = load_tensors("classifier_edit.safetensors")
    m = golden["in.id_feats"].mean(dim=0, keepdim=True)
    expected = {name: value for name, value in golden.items() if name.startswith("out.")}
    assert expected
    for name, value in expected.items():
        kind, row, scale = re.fullmatch(r"out\.(normalized|plain)\.attr(\d+)\.scale(.+)", name).groups()
        moved = move_along(
            m,
            golden["in.classifier_weight"][int(row)],
            golden["in.conds_mean"],
            golden["in.conds_std"],
            float(scale),
            normalized=kind == "normalized",
        )
        assert (moved - value).abs().max() < TOLERANCE, name
