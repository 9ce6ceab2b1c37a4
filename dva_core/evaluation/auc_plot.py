"""The picture beside the numbers: how well each attribute is told, as bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from PIL import Image, ImageDraw, ImageFont

PAPER, GRID, INK, FAINT = (255, 255, 255), (225, 225, 228), (40, 40, 44), (150, 152, 158)
BAR, LEFT_OUT, MARK = (52, 108, 176), (196, 200, 208), (214, 84, 40)
ROW, BAR_HEIGHT, TEXT, GAP = 24, 14, 14, 12
NAMES, BARS, NUMBERS = 180, 460, 64
CHANCE = 0.5


def auc_picture(
    aucs: Mapping[str, float], title: str, *, marks: Mapping[str, float] | None = None, marks_name: str = "",
    left_out: Collection[str] = (),
) -> Image.Image:  # fmt: skip
    """A bar for the AUC of each attribute, the highest on top, from chance (0.5) to perfect (1).

    `marks` are a second AUC of the same attributes, drawn as lines across the bars and called `marks_name`;
    bars of `left_out` attributes are gray.
    """
    marks = marks or {}
    ranked = sorted(aucs, key=aucs.__getitem__, reverse=True)
    top = 4 * GAP + 2 * TEXT if marks else 3 * GAP + TEXT
    bottom = top + len(ranked) * ROW
    picture = Image.new("RGB", (NAMES + BARS + NUMBERS, bottom + 2 * GAP + TEXT), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(TEXT)
    draw.text((GAP, GAP), title, INK, font)
    if marks:
        draw.line([(GAP + 3, 2 * GAP + TEXT + 1), (GAP + 3, 2 * GAP + 2 * TEXT)], MARK, 3)
        draw.text((2 * GAP, 2 * GAP + TEXT), marks_name, FAINT, font)
    for tenth in range(5, 11):
        x = _place(tenth / 10)
        draw.line([(x, top), (x, bottom)], GRID)
        draw.text((x, bottom + GAP / 2), f"{tenth / 10:.1f}", FAINT, font, anchor="mt")
    for row, name in enumerate(ranked):
        middle = top + (row + 0.5) * ROW
        half = BAR_HEIGHT / 2
        draw.text((NAMES - GAP, middle), name, INK, font, anchor="rm")
        box = [NAMES, middle - half, max(NAMES + 1, _place(aucs[name])), middle + half]
        draw.rectangle(box, LEFT_OUT if name in left_out else BAR)
        if name in marks:
            x = _place(marks[name])
            draw.line([(x, middle - half - 2), (x, middle + half + 2)], MARK, 3)
        draw.text((NAMES + BARS + GAP, middle), f"{aucs[name]:.3f}", INK, font, anchor="lm")
    return picture


def _place(auc: float) -> float:
    """Where a number lies across the picture; what is worse than chance lies at chance."""
    return NAMES + BARS * (max(auc, CHANCE) - CHANCE) / (1 - CHANCE)
