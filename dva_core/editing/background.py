"""Keep the surroundings of a face where they are while its decode is still mostly noise.

Our addition, not the paper's. Colours are decided at the noisiest levels, for the whole picture at once: with the noise
of a purple wall and an identity that it was not inverted with, the net may take some frames' wall for a green one and
correct the skin to match, which flickers. So there, outside the head, the state is put back to that of the source:
Blended Diffusion (Avrahami et al. 2022, Alg. 2), with the source's own noise instead of fresh noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.residual import Step
from ..faces.masks import NOT_HEAD, grown, select_classes
from ..memory import sent
from .detail import blurred

# Share of the picture in a state's variance above which it is left alone, so that a hat or long hair may still grow
# over the wall.
MOSTLY_PICTURE = 0.5
# Shares of the crop's side: room about the head, and the softness of its border.
ROOM, SOFTNESS = 1 / 16, 1 / 32


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is held where head [T,1,S,S] is below 1: the source's plain decode and its noise maps, [T,3,S,S]."""

    unedited: Tensor
    x_T: Tensor
    head: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Surroundings:
        return Surroundings(self.unedited[rows], self.x_T[rows], self.head[rows])

    def to(self, device: torch.device) -> Surroundings:
        return Surroundings(sent(self.unedited, device), sent(self.x_T, device), sent(self.head, device))

    def hold(self, x: Tensor, alpha_bar: float) -> Tensor:
        """The state x [T,3,S,S] of level alpha_bar with the source's outside the head, for `ddim.decode`.

        Of the source's states this solver keeps none, so they are mixed from both ends of its walk. Where most is
        noise, that is nearly the same.
        """
        source = alpha_bar**0.5 * self.unedited + (1 - alpha_bar) ** 0.5 * self.x_T
        return self._held(x, source, alpha_bar)

    def hold_at(self, step: Step, x: Tensor) -> Tensor:
        """As `hold`, for the state that a step leads to where the solver kept the source's own."""
        return self._held(x, step.source, step.alpha_bar)

    def _held(self, x: Tensor, source: Tensor, alpha_bar: float) -> Tensor:
        if alpha_bar > MOSTLY_PICTURE:
            return x
        return self.head * x + (1 - self.head) * source


def surroundings(unedited: Tensor, x_T: Tensor, parsing: Tensor) -> Surroundings:
    """The surroundings of the heads that class ids [T,S,S] of the source's crops show."""
    head = 1 - select_classes(parsing.cpu(), NOT_HEAD)
    size = head.shape[-1]
    return Surroundings(unedited, x_T, blurred(grown(head, ROOM * size), SOFTNESS))
