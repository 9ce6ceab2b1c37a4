"""What a text edit is judged by: noisy pictures of a few frames, on their way from one DDIM step to the next.

Kim et al. 2023, Sec. 3.3. The walk of the unedited frames is kept; each of its states makes one step with the edited
identity, so that gradients run through one evaluation of the net and never from step to step.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import ddim
from ..diffusion.schedule import linear_alpha_bar, spaced_timesteps
from ..encoders.clip import Clip
from ..errors import DvaError
from ..values import EncodedClip

if TYPE_CHECKING:
    from .text import TextEdit

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class TextLosses:
    """Where a search stands: the weighted sum that falls, its three parts, and how far pictures follow the texts.

    similarity: the mean cosine of the pictures' and the texts' change, -1..1, less where the picture has changed little
    (`TextEdit.least_change`).
    """

    iteration: int
    total: float
    clip: float
    identity: float
    picture: float
    similarity: float


class TextSearch:
    """The P pictures of a search, a state for each step of each key frame, and what stays the same about them.

    To be made and used outside of inference mode, with gradients enabled.
    """

    def __init__(
        self, model: DiffusionVideoAutoencoder, clip_net: Clip, clip: EncodedClip, wanted: Tensor, settings: TextEdit,
        batch_size: int,
    ) -> None:  # fmt: skip
        """`wanted` [1,D] is the direction of the texts; batch_size: pictures that go through the nets at once."""
        self.settings, self.wanted, self.batch_size = settings, wanted, batch_size
        self.unet, self.head, self.clip_net = map(_differentiable, (model.unet, model.head, clip_net))
        self.length = 1.0 if settings.faithful else None
        count, steps = len(clip.crops), settings.steps
        frames = sorted({round(frame) for frame in torch.linspace(0, count - 1, settings.key_frames).tolist()})
        features = (clip.identity if settings.faithful else clip.identity.mean()).features.expand(count, -1)
        of_frames = clip.crops, features, clip.landmark_codes.codes, model.face_mask(clip.crops[frames])
        # Clones, because what was made in inference mode is of no use to gradients.
        crops, people, codes, mask = (
            (each if len(each) == len(frames) else each[frames]).clone().to(model.device) for each in of_frames
        )
        self.first_person, self.first_codes = people[:1], codes[:1]
        self.people, self.codes, self.mask = (
            repeat(each, "k ... -> (s k) ...", s=steps) for each in (people, codes, mask)
        )
        with torch.no_grad():
            eps = self._eps(self._face_latent(people, codes))
            x_T = ddim.invert(eps, crops, steps, settings.faithful)
            self.first_x_T = x_T[:1]
            self.x, self.t = _states(eps, x_T, steps, settings.faithful)
            levels = linear_alpha_bar().float().to(model.device)
            kept = spaced_timesteps(steps)[::-1]
            self.now = rearrange(levels[self.t], "p -> p 1 1 1")
            self.then = repeat(torch.cat([levels[kept[1:]], levels.new_ones(1)]), "s -> (s k) 1 1 1", k=len(frames))
            parts = [self._pictures(torch.zeros_like(self.first_person), rows) for rows in self._batches()]
            self.before = torch.cat(parts)
            self.seen_before = torch.cat([self.clip_net.picture_features(part) for part in parts])

    def gradient(self, shift: nn.Parameter, iteration: int) -> TextLosses:
        """Sets the gradient of the shift [1,512]. Takes smaller batches from where memory runs out; DvaError if even
        one picture is too much."""
        while True:
            try:
                return self._gradient(shift, iteration)
            except torch.OutOfMemoryError as error:
                if self.batch_size == 1:
                    raise DvaError(
                        "Even one picture at a time does not fit into the memory of the device together with its "
                        "gradients; close other programs, or compute on the CPU."
                    ) from error
                self.batch_size = max(1, min(self.batch_size, len(self.x)) // 2)

    @torch.no_grad()
    def decoded(self, shift: Tensor) -> Tensor:
        """The first key frame [1,3,S,S] with this shift, in -1..1, on the CPU."""
        eps = self._eps(self._face_latent(moved(self.first_person, shift, self.length), self.first_codes))
        return ddim.decode(eps, self.first_x_T, self.settings.steps, self.settings.faithful).cpu()

    def _gradient(self, shift: nn.Parameter, iteration: int) -> TextLosses:
        settings, count, batches = self.settings, len(self.x), self._batches()
        similarity = None
        if len(batches) > 1:
            with torch.no_grad():
                similarity = sum(self._judged(shift, rows)[0].sum() for rows in batches) / count
        shift.grad = torch.zeros_like(shift)
        picture = 0.0
        for rows in batches:
            follows, differs = self._judged(shift, rows)
            if similarity is None:
                similarity = follows.detach().mean()
            # The slope of -log((1 + similarity) / 2), to which each batch adds its part.
            clip_slope = -follows.sum() / count / (1 + similarity).clamp(min=1e-6)
            loss = settings.clip_weight * clip_slope + settings.picture_weight * differs.sum() / count
            # Not backward(), which would leave gradients in nets that are still to be trained.
            shift.grad += torch.autograd.grad(loss, shift)[0]
            picture += float(differs.detach().sum()) / count
        now = moved(self.people, shift, self.length)
        other_person = (1 - F.cosine_similarity(now, self.people, dim=-1)).mean()
        shift.grad += torch.autograd.grad(settings.identity_weight * other_person, shift)[0]
        clip, identity = -math.log(max(1 + float(similarity), 1e-6) / 2), float(other_person.detach())
        total = (
            settings.clip_weight * clip + settings.identity_weight * identity + settings.picture_weight * picture
        )  # fmt: skip
        return TextLosses(iteration, total, clip, identity, picture, float(similarity))

    def _judged(self, shift: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """For each picture, how far its change follows the texts' [B], and how much of the face differs [B]."""
        after = self._pictures(shift, rows)
        seen = self.clip_net.picture_features(after)
        change = seen - self.seen_before[rows]
        size = change.norm(dim=-1)
        follows = (change @ self.wanted.T)[:, 0] / (size + self.settings.least_change)
        if self.settings.faithful:
            # A change of nothing has no direction; then what is seen itself shall follow the texts.
            follows = torch.where(size == 0, (seen @ self.wanted.T)[:, 0], follows)
        differs = ((after - self.before[rows]) * self.mask[rows]).abs().mean(dim=(1, 2, 3))
        return follows, differs

    def _pictures(self, shift: Tensor, rows: slice) -> Tensor:
        """What one DDIM step makes of the states with the shifted identity (Song et al. 2021, Eq. 12, sigma = 0)."""
        z_face = self._face_latent(moved(self.people[rows], shift, self.length), self.codes[rows])
        x = self.x[rows]
        noise = self._eps(z_face)(x, self.t[rows])
        return ddim.moved(x, noise, self.now[rows], self.then[rows], self.settings.faithful)

    def _eps(self, z_face: Tensor) -> ddim.NoiseEstimator:
        return lambda x, t: torch.cat(
            [
                self.unet(*part)
                for part in zip(
                    *(each.split(self.batch_size) for each in (x, t.expand(len(x)), z_face)), strict=True
                )
            ]
        )  # fmt: skip

    def _face_latent(self, people: Tensor, codes: Tensor) -> Tensor:
        """As `DiffusionVideoAutoencoder.face_latent`, with gradients."""
        return self.head(torch.cat([people, codes], dim=1))

    def _batches(self) -> list[slice]:
        return [slice(start, start + self.batch_size) for start in range(0, len(self.x), self.batch_size)]


def moved(features: Tensor, shift: Tensor, length: float | None = None) -> Tensor:
    """Features [N,512] turned by a shift [1,512]; they keep their length, or get this one."""
    kept = features.norm(dim=-1, keepdim=True) if length is None else length
    return F.normalize(features + shift, dim=-1) * kept


def _states(eps: ddim.NoiseEstimator, x_T: Tensor, steps: int, faithful: bool) -> tuple[Tensor, Tensor]:
    """What a decode of x_T [K,3,S,S] shows to the net: states [S*K,3,S,S], and their steps int64 [S*K]."""
    states: list[Tensor] = []
    times: list[Tensor] = []

    def recorded(x: Tensor, t: Tensor) -> Tensor:
        states.append(x)
        times.append(t.expand(len(x)))
        return eps(x, t)

    ddim.decode(recorded, x_T, steps, faithful)
    return torch.cat(states), torch.cat(times)


def _differentiable(net: Net) -> Net:
    """The net in float32; a copy where it is not, or where its weights were made in inference mode."""
    tensors = list(chain(net.parameters(), net.buffers()))
    if not any(tensor.is_inference() or tensor.dtype in (torch.float16, torch.bfloat16) for tensor in tensors):
        return net
    return copy.deepcopy(net).float()
