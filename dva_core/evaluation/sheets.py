"""A picture for each kind of edit, drawn on the shipped clips: to be looked at, as numbers do not see everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_STEPS
from ..editing.mixing import interpolate_identities
from ..editing.sweep import sweep_clip
from ..editing.text import find_text_shift, shift_identity
from ..editing.transfer import resample_motion, with_motion, with_person
from ..errors import DvaError
from ..files import whole_or_nothing
from ..footage import find_face
from ..pipeline import decode_clip, edit_clip, encode_clip, read_crops
from ..progress import Cancel, Progress, Watch, never, silent
from ..showcase import ASSETS, DEMO_CLIP
from ..values import EncodedClip
from .attribute_edits import preserved
from .report import contact_sheet
from .text import CASES

SECOND_CLIP = ASSETS / "demo_second.mp4"
FRAMES, SIDE = 6, 112
COLOURS = 256
PRESERVING = {"beard": {"No_Beard": -1.0}, "bald": {"Bald": 1.0}, "blond hair": {"Blond_Hair": 1.0}}
GROWING = {"beard": {"No_Beard": -1.0}, "blond hair": {"Blond_Hair": 1.0}}
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Rows = dict[str, np.ndarray]


def draw_sheets(
    model: DiffusionVideoAutoencoder, folder: str | Path, *, frames: int = FRAMES, steps: int = DEFAULT_STEPS,
    batch_size: int = 16, progress: Progress = silent, cancelled: Cancel = never,
) -> list[Path]:  # fmt: skip
    """Writes attributes, preserve, text, identity, motion, background and growing .png; returns their paths.

    Crops before paste-back, of `frames` frames spread over each shipped clip. The sheet of texts is left out where
    the demo's CLIP or what it needs is missing. Raises DvaError as the engine does, and Cancelled.
    """
    options = {"batch_size": batch_size, "cancelled": cancelled}
    (one, length), (two, _) = (_clip(model, path, frames, steps, options) for path in (DEMO_CLIP, SECOND_CLIP))
    numbers = [f"frame {number}" for number in _spread(frames, length)]
    in_order = [str(number + 1) for number in range(frames)]
    sheets = {
        "attributes": lambda: (_attributes(model, (one, two), options), ["off", "source", "on"] * 2),
        "preserve": lambda: (_preserve(model, one, options), ["source", "plain", "preserving"]),
        "text": lambda: (_text(model, one, options), ["source", "half", "full", "opposite"]),
        "identity": lambda: (_identity(model, one, two, options), numbers),
        "motion": lambda: (_motion(model, one, two, options), in_order),
        "background": lambda: (_background(model, one, two, options), in_order),
        "growing": lambda: (_growing(model, one, options), numbers),
    }
    watch = Watch("draw sheets", len(sheets), progress, cancelled)
    written = []
    for name, draw in sheets.items():
        rows, columns = draw()
        if rows:
            written.append(Path(folder) / f"{name}.png")
            with whole_or_nothing(written[-1]) as unfinished:
                # A palette makes half the file, for a little banding.
                contact_sheet(rows, columns).quantize(COLOURS).save(unfinished, format="PNG", optimize=True)
        watch.tick()
    return written


def _clip(
    model: DiffusionVideoAutoencoder, path: Path, frames: int, steps: int, options: Mapping
) -> tuple[EncodedClip, int]:
    """A few frames of a shipped clip, taken apart, and how many it has in all."""
    crops = read_crops(path, find_face(model, path), model.config.image_size)
    return encode_clip(model, crops[_spread(frames, len(crops))], steps, **options), len(crops)


def _spread(count: int, length: int) -> list[int]:
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def _attributes(model: DiffusionVideoAutoencoder, clips: Sequence[EncodedClip], options: Mapping) -> Rows:
    """Every attribute put on and taken off, of one frame of each clip."""
    rows: dict[str, list[Tensor]] = {}
    for clip in clips:
        middle = clip.part([len(clip.crops) // 2])
        edits = [{name: scale} for name in model.attributes.names for scale in (-1.0, 1.0)]
        decoded = sweep_clip(model, middle, [edit_clip(model, clip, edit) for edit in edits], **options)[:, 0]
        pairs = rearrange(decoded, "(n s) c h w -> n s c h w", s=2)
        for name, (off, on) in zip(model.attributes.names, pairs, strict=True):
            rows.setdefault(name.replace("_", " "), []).extend([off, middle.crops[0], on])
    return {name: _pictures(torch.stack(pictures)) for name, pictures in rows.items()}


def _preserve(model: DiffusionVideoAutoencoder, clip: EncodedClip, options: Mapping) -> Rows:
    """An edit with and without keeping all other attributes."""
    middle, rows = clip.part([len(clip.crops) // 2]), {}
    for label, edit in PRESERVING.items():
        identities = [edit_clip(model, clip, edit, preserve=keep) for keep in ((), preserved(model, next(iter(edit))))]
        decoded = sweep_clip(model, middle, identities, **options)[:, 0]
        rows[label] = _pictures(torch.cat([middle.crops, decoded]))
    return rows


def _text(model: DiffusionVideoAutoencoder, clip: EncodedClip, options: Mapping) -> Rows:
    """What a text finds, at half, full and opposite strength; nothing where the CLIP cannot be had."""
    from ..weights.demo_clip import load_demo_clip

    try:
        clip_net = load_demo_clip(model.device)
    except DvaError:
        return {}
    middle, rows = clip.part([len(clip.crops) // 2]), {}
    for case in CASES:
        shift = find_text_shift(model, clip_net, clip, case.source, case.target, cancelled=options["cancelled"])
        identities = [shift_identity(clip.identity.mean(), shift, scale) for scale in (0.5, 1.0, -1.0)]
        decoded = sweep_clip(model, middle, identities, **options)[:, 0]
        rows[case.target.replace("face ", "")] = _pictures(torch.cat([middle.crops, decoded]))
    return rows


def _identity(model: DiffusionVideoAutoencoder, one: EncodedClip, two: EncodedClip, options: Mapping) -> Rows:
    """From the first person to the second."""
    between = [interpolate_identities(one.identity, two.identity, amount) for amount in AMOUNTS]
    decoded = sweep_clip(model, one, between, **options)
    rows = {"source": _pictures(one.crops)}
    rows |= {f"{amount:g} of other": _pictures(crops) for amount, crops in zip(AMOUNTS, decoded, strict=True)}
    return rows | {"other": _pictures(two.crops)}


def _motion(model: DiffusionVideoAutoencoder, one: EncodedClip, two: EncodedClip, options: Mapping) -> Rows:
    """The second person moves as the first does."""
    driver = resample_motion(one.landmark_codes, 1, len(two.crops), 1)
    moved = decode_clip(model, with_motion(two, driver), two.identity.mean(), **options)
    return {"source": _pictures(two.crops), "driver": _pictures(one.crops), "driven": _pictures(moved)}


def _background(model: DiffusionVideoAutoencoder, one: EncodedClip, two: EncodedClip, options: Mapping) -> Rows:
    """The first person in everything else of the second's clip."""
    elsewhere = with_person(two, one.identity, one.landmark_codes)
    decoded = decode_clip(model, elsewhere, elsewhere.identity.mean(), **options)
    return {"person": _pictures(one.crops), "background": _pictures(two.crops), "together": _pictures(decoded)}


def _growing(model: DiffusionVideoAutoencoder, clip: EncodedClip, options: Mapping) -> Rows:
    """Edits whose strength grows evenly from nothing in the first frame to all in the last."""
    strengths = np.linspace(0, 1, len(clip.crops)).tolist()
    identities = [edit_clip(model, clip, edit, strengths=strengths) for edit in GROWING.values()]
    decoded = sweep_clip(model, clip, identities, **options)
    return {"source": _pictures(clip.crops)} | {
        label: _pictures(crops) for label, crops in zip(GROWING, decoded, strict=True)
    }


def _pictures(crops: Tensor) -> np.ndarray:
    """Crops [N,3,S,S] in -1..1 -> uint8 [N,112,112,3]."""
    pictures = rearrange(((crops.clamp(-1, 1) + 1) * 127.5).round().byte(), "n c h w -> n h w c").numpy()
    return np.stack([np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.LANCZOS)) for one in pictures])
