"""Captions as the numbers that a text tower takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..editing.prompts import TEMPLATES
from ..synthetic.captions import all_words


class Words:
    """The captions as numbers. known: bool [V], the tokens that captions are made of; all others stay zero, so that an
    unknown word says nothing."""

    def __init__(self, open_clip: Any, architecture: dict[str, Any], device: str) -> None:
        text = architecture["text_cfg"]
        self.tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=text["context_length"])
        self.templates = (*TEMPLATES, *(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES))
        self.device = device
        self.known = torch.zeros(text["vocab_size"], dtype=torch.bool)
        self.known[self.tokenizer([*all_words(), *self.templates]).unique()] = True
        self.unknown = torch.nonzero(~self.known)[:, 0]
        self.known = self.known.to(device)

    def numbers(self, texts: Sequence[str], strange: float, rng: np.random.Generator) -> Tensor:
        """Texts -> tokens [N,L]; a share `strange` of them gets a word that means nothing."""
        tokens = self.tokenizer(list(texts))
        ends = tokens.argmax(dim=1).tolist()
        for row, end in enumerate(ends):
            if rng.random() < strange and end + 1 < tokens.shape[1]:
                place = int(rng.integers(1, end + 1))
                tokens[row, place + 1 :] = tokens[row, place:-1].clone()
                tokens[row, place] = self.unknown[int(rng.integers(len(self.unknown)))]
        return tokens.to(self.device)
