"""Edits by words, as options of `dva edit`: which texts, which CLIP, and what is kept of what was found."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DvaError
from .options import chosen_device, positive

if TYPE_CHECKING:
    from ..editing.text import Shifts, ShiftsOrSearches, TextEdit, TextLosses
    from ..encoders.clip import Clip
    from ..progress import Progress

SCALE = 1.0
# The CLIP that the published edits were made with: open_clip's name of it, and the registry's.
PUBLISHED_CLIP = "ViT-B-16", "openclip-vit-b-16-openai"


def add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text", metavar=("SEEN", "WANTED"), nargs=2,
        help='change the face as the second text differs from the first: "face" "face with eyeglasses"',
    )  # fmt: skip
    parser.add_argument(
        "--text-scale", metavar="S", type=float,
        help=f"how much of what --text found or --shift holds (default: {SCALE:g}; negative: the opposite)",
    )  # fmt: skip
    parser.add_argument(
        "--text-iterations", metavar="N", type=positive, help="look for the edit of --text no longer than this"
    )
    parser.add_argument(
        "--save-shift", metavar="FILE", type=Path, help="keep what --text found, for --shift and other videos"
    )
    parser.add_argument("--shift", metavar="FILE", type=Path, help="what --save-shift kept; takes no time to find")
    parser.add_argument(
        "--clip", metavar=("NAME", "FILE"), nargs=2,
        help="who understands the texts: an architecture of open_clip or a config .json, and its weights (default: "
        "with the demo model the one that comes with it, otherwise OpenAI's ViT-B/16, see `dva models`)",
    )  # fmt: skip


def check_text(options: argparse.Namespace) -> None:
    """DvaError when the options do not fit each other."""
    if not (options.attribute or options.text or options.shift):
        raise DvaError("Nothing is asked for; give --attribute, --text or --shift.")
    if options.text_scale is not None and not (options.text or options.shift):
        raise DvaError("--text-scale is the strength of --text and --shift; give one of them, or leave it out.")
    for option in ("text_iterations", "save_shift", "clip"):
        if getattr(options, option) and not options.text:
            raise DvaError(f"--{option.replace('_', '-')} belongs to --text; give one, or leave it out.")


@dataclass(frozen=True)
class AskedText:
    """What the options ask for: shifts with their scale, or how to look for them; and what the search told."""

    shifts: ShiftsOrSearches
    settings: TextEdit | None = None
    losses: list[TextLosses] = field(default_factory=list)


def asked_text(options: argparse.Namespace, model: Any, progress: Progress) -> AskedText:
    """Reads the shift and the CLIP that are wanted. DvaError when a file does not do, or a text says nothing."""
    scale = SCALE if options.text_scale is None else options.text_scale
    shifts: list[Any] = []
    if options.shift:
        from ..values import IdentityShift

        shifts.append((IdentityShift.load(options.shift), scale))
    if not options.text:
        return AskedText(shifts)
    from ..editing.prompts import text_direction
    from ..editing.text import ShiftSearch, TextEdit, default_settings, find_text_shift
    from ..request import file_facts

    clip_net = _clip(options, model)
    text_direction(clip_net, *options.text)  # says now whether the texts will do, and is known from then on
    settings = TextEdit.as_published() if options.faithful else default_settings(model)
    if options.text_iterations:
        settings = replace(settings, iterations=options.text_iterations)
    asked = AskedText(shifts, settings)
    find = partial(_found, find_text_shift, model, clip_net, options, asked, progress)
    clip = options.clip and [file_facts(Path(name)) if Path(name).is_file() else name for name in options.clip]
    request = {"texts": options.text, "clip": clip, "settings": asdict(settings)}
    shifts.append((ShiftSearch(find, request), scale))
    return asked


def text_report(options: argparse.Namespace, asked: AskedText, shifts: Shifts) -> dict[str, Any] | None:
    """What `--json` tells about shifts of the identity; None without any.

    How the search went is known only when it was not an earlier, interrupted run that made it.
    """
    if not shifts:
        return None
    report: dict[str, Any] = {"shifts": [{"name": shift.name, "scale": scale} for shift, scale in shifts]}
    if options.text:
        report |= {"seen": options.text[0], "wanted": options.text[1], "settings": asdict(asked.settings)}
    if asked.losses:
        report |= {"iterations": len(asked.losses), "losses": asdict(asked.losses[-1])}
    return report


def _found(find: Any, model: Any, clip_net: Clip, options: argparse.Namespace, asked: AskedText, progress: Progress,
           clip: Any) -> Any:  # fmt: skip
    shift = find(
        model, clip_net, clip, *options.text, asked.settings,
        batch_size=2 * options.batch_size, progress=progress, on_losses=asked.losses.append,
    )  # fmt: skip
    if options.save_shift:
        shift.save(options.save_shift)
    return shift


def _clip(options: argparse.Namespace, model: Any) -> Clip:
    from ..editing.text import DEMO
    from ..encoders.clip import load_clip

    device = chosen_device(options)
    if options.clip:
        return load_clip(*options.clip, device)
    if model.name == DEMO:
        from ..weights.demo_clip import load_demo_clip

        return load_demo_clip(device)
    from ..weights.places import require

    name, file = PUBLISHED_CLIP
    return load_clip(name, require(file, needed_for="The text edit"), device)
