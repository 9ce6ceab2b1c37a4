"""Edits by words: which move of an identity makes its pictures change as one text changes into another.

Kim et al. 2023, Sec. 3.3: an identity is moved by gradient descent until, to CLIP, the pictures have changed in the
direction in which the texts differ, while it stays the same person and the face stays where it is. What is found is a
value of its own: it can be saved, used on other clips, and made stronger or weaker without searching again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion.schedule import spaced_timesteps
from ..encoders.clip import Clip
from ..errors import DvaError
from ..progress import Cancel, Preview, Progress, Watch, never, silent, unseen
from ..values import EncodedClip, Identity, IdentityShift
from .attributes import AttributeDirections
from .prompts import text_direction
from .text_search import TextLosses, TextSearch, moved

DEMO = "demo"
"""The name of the model that comes with the code."""

PREVIEWS = 20
"""How often a search shows what it has got, at most."""

Shifts = Sequence[tuple[IdentityShift, float]]
"""Shifts of an identity, each with its scale."""


@dataclass(frozen=True)
class ShiftSearch:
    """Stands for a shift that is still to be found, once the clip is encoded.

    request: what is looked for and how, JSON-able; searches with the same request find the same on the same clip.
    """

    find: Callable[[EncodedClip], IdentityShift]
    request: Mapping[str, Any]


ShiftsOrSearches = Sequence[tuple[IdentityShift | ShiftSearch, float]]
"""Shifts of an identity, or what finds them, each with its scale."""


@dataclass(frozen=True)
class TextEdit:
    """How a text edit is looked for. The constants of Kim et al. 2023 as their code has them, except where it says so.

    steps: of the DDIM walk whose states are judged. iterations: at most. learning_rate: of Adam. clip_weight,
    identity_weight, picture_weight: how much it counts that pictures change as the texts differ, that it stays the same
    person, and that the face stays as it is.
    key_frames: how many frames of the clip are judged, spread over it (published: 1, the first).
    patience: stop when the smoothed loss has not fallen by a share of least_fall in so many iterations; 0 never stops
    early (published).
    least_change: a change of CLIP's features (of length 1) far below this counts little, because its direction says
    nothing yet; without it (published: 1e-7) the first iterations follow noise.
    faithful: judge each frame with its own identity brought to length 1, invert and decode as published (`ddim`).
    Otherwise it is the clip's mean identity, as it will be edited, with the length that it has.
    """

    steps: int = 5
    iterations: int = 2000
    learning_rate: float = 0.002
    clip_weight: float = 3.0
    identity_weight: float = 5.0
    picture_weight: float = 5.0
    key_frames: int = 3
    patience: int = 100
    least_fall: float = 0.01
    least_change: float = 0.03
    faithful: bool = False

    def __post_init__(self) -> None:
        weights = self.clip_weight, self.identity_weight, self.picture_weight
        if not (self.iterations >= 1 and self.key_frames >= 1 and 0 < self.learning_rate < math.inf):
            raise DvaError(
                f"A text edit needs iterations and key_frames of at least 1 and a learning_rate above 0, not "
                f"{self.iterations}, {self.key_frames} and {self.learning_rate}."
            )
        if not all(0 <= weight < math.inf for weight in weights):
            raise DvaError(f"The weights of a text edit's losses must be numbers from 0 on, not {weights}.")
        spaced_timesteps(self.steps)

    @classmethod
    def as_published(cls) -> TextEdit:
        """Everything as in the published code."""
        return cls(key_frames=1, patience=0, least_change=1e-7, faithful=True)


def default_settings(model: DiffusionVideoAutoencoder) -> TextEdit:
    """The settings that suit a model: for the demo model other ones, found on people of its training range.

    Its pictures and its CLIP are so simple that 60 larger steps over two frames are enough, and with the published
    weights of the other two losses hats stayed half-made. Other models get the constants of `TextEdit`.
    """
    if model.name == DEMO:
        return TextEdit(iterations=60, learning_rate=0.004, identity_weight=1.5, picture_weight=2.0, key_frames=2)
    return TextEdit()


def find_text_shift(
    model: DiffusionVideoAutoencoder, clip_net: Clip, clip: EncodedClip, source: str, target: str,
    settings: TextEdit | None = None, *, batch_size: int = 16, progress: Progress = silent, cancelled: Cancel = never,
    preview: Preview = unseen, on_losses: Callable[[TextLosses], None] = lambda losses: None,
) -> IdentityShift:  # fmt: skip
    """The move of the clip's identity that the change from the text `source` to `target` asks for.

    ("face", "face with eyeglasses") puts glasses on. Apply it with `shift_identity`. settings: those of
    `default_settings` when left out. batch_size: pictures that go through the nets at once; it changes nothing but
    time and memory. `preview` is shown the first key frame [1,3,S,S] with the edit of the moment, every so often;
    `on_losses` is told of every iteration. Deterministic: there is nothing random in it. Works inside of
    torch.inference_mode too, with values and nets that were made there.

    Raises DvaError for texts or settings that make no sense, a clip of another model, or too little memory; Cancelled.
    """
    settings = settings or default_settings(model)
    model.face_latent(clip.identity.mean(), clip.landmark_codes)  # says what is wrong where something does not fit
    # Gradients need tensors that were not made in inference mode, and leave it.
    with torch.inference_mode(False), torch.enable_grad():
        wanted = text_direction(clip_net, source, target)
        search = TextSearch(model, clip_net, clip, wanted, settings, batch_size)
        shift = nn.Parameter(torch.zeros(1, clip.identity.features.shape[1], device=model.device))
        adam = torch.optim.Adam([shift], lr=settings.learning_rate)
        watch = Watch("find text edit", settings.iterations, progress, cancelled)
        fall = _Fall(settings.patience, settings.least_fall)
        for iteration in range(settings.iterations):
            if iteration % math.ceil(settings.iterations / PREVIEWS) == 0 and preview is not unseen:
                preview(search.decoded(shift.detach()))
            losses = search.gradient(shift, iteration)
            adam.step()
            on_losses(losses)
            watch.tick()
            if fall.has_ended(losses.total):
                watch.tick(settings.iterations - watch.done)
                break
        return IdentityShift(shift.detach().float().cpu(), model.name, f"{source.strip()} -> {target.strip()}")


def found_shifts(shifts: ShiftsOrSearches, clip: EncodedClip) -> Shifts:
    """The shifts, those still to be found now found on this clip."""
    return [(shift.find(clip) if isinstance(shift, ShiftSearch) else shift, scale) for shift, scale in shifts]


def shift_identity(identity: Identity, shift: IdentityShift, scale: float = 1.0) -> Identity:
    """The identity [N,512], moved: scale 1 as far as was found, 0 not at all (bit for bit), -1 the opposite way.

    Each row keeps its length; the published edit brings it to 1, and so changes the picture even at scale 0. Raises
    DvaError when another model's identities were moved, and for a scale that is no finite number.
    """
    check_shift(shift, identity.model, scale)
    if scale == 0:
        return identity
    return replace(identity, features=moved(identity.features, scale * shift.features))


def preserving(shift: IdentityShift, directions: AttributeDirections, preserve: Sequence[str]) -> IdentityShift:
    """The shift without what it has along the directions of some attributes, in normalised features.

    As `edit_identity` does it (Shen et al. 2020, Sec. 3.3). Raises DvaError for names that the table does not know.
    """
    if not preserve:
        return shift
    kept = directions.weight[[directions.row(name) for name in preserve]].double()
    std = directions.std.double()
    normalised = shift.features.to(std) / std
    normalised = normalised - normalised @ torch.linalg.pinv(kept) @ kept
    return replace(shift, features=(normalised * std).to(shift.features))


def check_shift(shift: IdentityShift, model: str, scale: float = 1.0) -> None:
    """Raises DvaError where `shift_identity` would, for identities of this model."""
    if shift.model != model:
        raise DvaError(
            f"'{shift.name}' moves identities of the model {shift.model} and not of {model}; find it again with "
            f"{model}."
        )
    if not math.isfinite(scale):
        raise DvaError(f"The scale of '{shift.name}' must be a finite number, not {scale}.")


class _Fall:
    """Whether a loss still falls, told from a moving mean because single values jump."""

    def __init__(self, patience: int, least: float) -> None:
        self.patience, self.least = patience, least
        self.smooth: float | None = None
        self.best, self.since = math.inf, 0

    def has_ended(self, loss: float) -> bool:
        self.smooth = loss if self.smooth is None else 0.9 * self.smooth + 0.1 * loss
        if self.smooth < self.best * (1 - self.least):
            self.best, self.since = self.smooth, 0
        else:
            self.since += 1
        return 0 < self.patience <= self.since
