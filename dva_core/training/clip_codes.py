"""Where each fact shall point in the CLIP's space: fixed directions, square to each other, for pictures and for texts.

Captions alone would find such directions too, but only after many more steps: each names a few facts, in many ways.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DvaError
from ..synthetic.captions import FACTS

_HAIR_COLORS = ("black hair", "brown hair", "blond hair", "gray hair", "red hair")
# What else comes with a fact, when a text asks for it and nothing more is said.
_IMPLIED = {
    "beard": {"facial hair": 1.0},
    "goatee": {"facial hair": 1.0},
    "mustache": {"facial hair": 1.0},
    "stubble": {"facial hair": 1.0},
    "facial hair": {"beard": 0.7},
    # Whoever gets one colour loses one of the four others.
    **{color: {other: -0.25 for other in _HAIR_COLORS if other != color} for color in _HAIR_COLORS},
}


class Codes(nn.Module):
    """The directions of the facts [F,D], and of the changes that texts ask for [F,D]. They are not learnt."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        if dimensions < len(FACTS):
            raise DvaError(f"A CLIP for {len(FACTS)} facts needs an embed_dim of as many at least, not {dimensions}.")
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(dimensions, len(FACTS), generator=generator))
        asked = torch.eye(len(FACTS))
        for fact, others in _IMPLIED.items():
            for other, share in others.items():
                asked[FACTS.index(fact), FACTS.index(other)] = share
        self.register_buffer("facts", basis.T.contiguous(), persistent=False)
        self.register_buffer("asked", F.normalize(asked, dim=1) @ basis.T, persistent=False)

    def of_pictures(self, change: np.ndarray) -> Tensor:
        """Changes of facts [N,F] (1 comes, -1 goes, 0 stays or open) -> where the features shall move [N,D]."""
        return F.normalize(self._numbers(change) @ self.facts, dim=-1)

    def of_texts(self, change: np.ndarray) -> Tensor:
        """Changes of claims [N,F] (1 said, -1 unsaid or denied, 0 as before) -> where the features shall move [N,D]."""
        return F.normalize(self._numbers(change) @ self.asked, dim=-1)

    def _numbers(self, change: np.ndarray) -> Tensor:
        return torch.from_numpy(np.sign(change).astype(np.float32)).to(self.facts.device)
