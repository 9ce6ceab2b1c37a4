"""The small CLIP that comes with the code: it knows rendered faces and what can be said of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import torch

from ..encoders.clip import Clip, load_clip

CONFIG = Path(__file__).with_name("demo_clip.json")
WEIGHTS = CONFIG.with_suffix(".safetensors")
KIND = "the demo's CLIP"


def load_demo_clip(device: torch.device | str = "cpu") -> Clip:
    """The shipped CLIP, made by `dva train demo-clip`: for rendered faces, clean or noisy, seen at 64 pixels.

    Raises DvaError, saying how to get it, where open_clip is not installed.
    """
    return load_clip(CONFIG, WEIGHTS, device)
