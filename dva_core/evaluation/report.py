"""What a person gets to see: the JSON report, a short table, the contact sheet and the comparison frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..files import whole_or_nothing

DIFFERENCE_GAIN = 3
_PAPER, _INK = (24, 24, 27), (235, 235, 235)
_GAP, _LABEL_WIDTH, _TEXT = 4, 132, 15


def write_report(report: Mapping[str, Any], path: str | Path) -> None:
    """Writes the report as JSON, whole or not at all; folders on the way are made."""
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with whole_or_nothing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Two columns for a terminal: names on the left, numbers (4 digits; None as a dash) on the right."""
    cells = [(name, _shown(value)) for name, value in rows]
    left = max(len(name) for name, _ in cells)
    right = max(len(value) for _, value in cells)
    return "\n".join(f"  {name:<{left}}  {value:>{right}}" for name, value in cells)


def target_table(report: Mapping[str, Any]) -> str:
    """The targets of an evaluation's report: number, range and whether it is met."""
    lines = []
    for path, entry in report["targets"].items():
        wanted = " ".join(
            f"{sign} {bound:g}"
            for sign, bound in (("≥", entry["at_least"]), ("≤", entry["at_most"]))
            if bound is not None
        )
        verdict = {True: "met", False: "MISSED", None: "not measured"}[entry["met"]]
        lines.append(f"  {path:<36} {_shown(entry['value']):>8}   {wanted:<15} {verdict}")
    return "\n".join(lines)


def contact_sheet(rows: Mapping[str, np.ndarray], columns: Sequence[str]) -> Image.Image:
    """A labelled grid of pictures: one row for each entry of `rows`, uint8 [T,H,W,3], one column for each frame."""
    first = next(iter(rows.values()))
    height, width = first.shape[1:3]
    size = (
        _LABEL_WIDTH + len(columns) * (width + _GAP) + _GAP,
        _TEXT + 4 * _GAP + len(rows) * (height + _GAP),
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    lefts = [_LABEL_WIDTH + _GAP + column * (width + _GAP) for column in range(len(columns))]
    for left, name in zip(lefts, columns, strict=True):
        draw.text((left + width / 2, 2 * _GAP), name, _INK, font, anchor="mt")
    for row, (label, pictures) in enumerate(rows.items()):
        top = _TEXT + 4 * _GAP + row * (height + _GAP)
        draw.multiline_text((_GAP * 2, top + height / 2), label, _INK, font, anchor="lm")
        for left, picture in zip(lefts, pictures, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
    return sheet


def comparison_frames(source: Iterable[np.ndarray], edited: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames uint8 [H,W,3] of both -> source | edited | their difference made 3 times stronger, under a caption."""
    caption = None
    for before, after in zip(source, edited, strict=True):
        difference = np.abs(after.astype(np.int16) - before) * DIFFERENCE_GAIN
        frame = np.concatenate([before, after, difference.clip(0, 255).astype(np.uint8)], axis=1)
        if caption is None:
            caption = _caption(before.shape[1], ("source", "edited", f"difference x{DIFFERENCE_GAIN}"))
        yield np.concatenate([caption, frame], axis=0)


def _caption(width: int, names: Sequence[str]) -> np.ndarray:
    strip = Image.new("RGB", (width * len(names), _TEXT + 2 * _GAP), _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_TEXT)
    for index, name in enumerate(names):
        draw.text((width * (index + 0.5), _GAP), name, _INK, font, anchor="mt")
    return np.asarray(strip)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 0.001 else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)
