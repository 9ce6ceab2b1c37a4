"""Is an edited clip as steady as its source? The numbers and a plot, for whoever wants to know before sharing it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import DvaError
from .judges import Judges, load_judges
from .reconstruction import psnr, ssim
from .temporal import tg_id, tl_id

WIDTH, HEIGHT, MARGIN, TEXT = 720, 320, 48, 14
PAPER, GRID, INK = (255, 255, 255), (225, 225, 228), (40, 40, 44)
COLOURS = {"source": (110, 116, 130), "edited": (214, 84, 40)}


@dataclass(frozen=True, eq=False)
class Steadiness:
    """tl_id, tg_id: None for a single frame. ssim, psnr: edited against source. likeness: name -> float32 [T], the
    cosine of each frame's identity with its clip's mean."""

    tl_id: float | None
    tg_id: float | None
    ssim: float
    psnr: float
    likeness: dict[str, Tensor]

    @property
    def text(self) -> str:
        """The numbers with what they mean, a line each."""
        steady = "needs two frames" if self.tl_id is None else f"{self.tl_id:.4f} / {self.tg_id:.4f}"
        return (
            f"TL-ID / TG-ID: {steady} (1 is as steady as the source)\n"
            f"SSIM: {self.ssim:.4f}, PSNR: {self.psnr:.1f} dB (edited against source)\n"
            f"{len(self.likeness['source'])} frames, identity by a net that made no edit"
        )


def measure_steadiness(source: Tensor, edited: Tensor, judges: Judges | None = None) -> Steadiness:
    """Compares crops [T,3,S,S] in -1..1 before and after an edit, with the shipped judges when none are given.

    Raises DvaError when the two do not have the same shape.
    """
    if source.shape != edited.shape:
        raise DvaError(
            f"The two clips differ: {list(source.shape)} before and {list(edited.shape)} after the edit; give the same "
            "frames at the same size."
        )
    judges = judges or load_judges()
    who = {"source": judges.identity_features(source), "edited": judges.identity_features(edited)}
    several = len(source) > 1
    before, after = (source + 1) / 2, (edited + 1) / 2
    return Steadiness(
        tl_id(*who.values()) if several else None,
        tg_id(*who.values()) if several else None,
        float(ssim(before, after).mean()),
        float(psnr(before, after).clamp(max=100).mean()),
        {name: F.cosine_similarity(features, features.mean(0, keepdim=True)) for name, features in who.items()},
    )


def plot_steadiness(found: Steadiness) -> np.ndarray:
    """The likeness over time as a picture uint8 [320,720,3]."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(TEXT)
    lowest = min(float(line.min()) for line in found.likeness.values())
    low = min(0.9, np.floor(lowest * 20) / 20)
    right, bottom = WIDTH - MARGIN, HEIGHT - MARGIN
    for value in np.linspace(low, 1, 5):
        y = bottom - (value - low) / (1 - low) * (bottom - MARGIN)
        draw.line([(MARGIN, y), (right, y)], GRID)
        draw.text((MARGIN - 6, y), f"{value:.2f}", INK, font, anchor="rm")
    for place, (name, line) in enumerate(found.likeness.items()):
        x = np.linspace(MARGIN, right, max(2, len(line)))[: len(line)]
        y = bottom - (line.numpy() - low) / (1 - low) * (bottom - MARGIN)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        if len(points) > 1:
            draw.line(points, COLOURS[name], 2)
        for px, py in points:
            draw.ellipse([px - 2, py - 2, px + 2, py + 2], COLOURS[name])
        draw.text((right - 90 * (1 - place), MARGIN - 26), name, COLOURS[name], font, anchor="rm")
    draw.text((MARGIN, MARGIN - 26), "likeness to the clip's mean face", INK, font, anchor="lm")
    draw.text((MARGIN, HEIGHT - 18), f"frame 0 to {len(found.likeness['source']) - 1}", INK, font, anchor="lm")
    return np.asarray(picture)
