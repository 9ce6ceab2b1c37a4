"""The U-Net gives the numbers of the reference implementation."""

from __future__ import annotations

import re

import torch

from dva_core.unet import timestep_embedding

from .golden import load_json, load_tensors
from .golden_unet import golden_unet

FORWARD_TOLERANCE = 1e-4


def test_golden_forward():
    golden = load_tensors("unet_small.safetensors")
    with torch.no_grad():
        pred = golden_unet()(golden["in.x"], golden["in.t"], golden["in.cond"])
    assert (pred - golden["out.pred"]).abs().max() < FORWARD_TOLERANCE


def test_golden_parameter_count():
    count = sum(p.numel() for p in golden_unet().parameters())
    assert count == load_json("unet_small.json")["parameters"]


def test_golden_timestep_embedding():
    pattern = re.compile(r"t=(\d+),dim=(\d+)(?:,first(\d+)_then_([\d_]+))?")
    for name, expected in load_json("timestep_embedding.json").items():
        t, dim, first, others = pattern.fullmatch(name).groups()
        embedding = timestep_embedding(torch.tensor([int(t)]), int(dim))[0]
        if first:
            embedding = embedding[[*range(int(first)), *map(int, others.split("_"))]]
        assert torch.allclose(embedding, torch.tensor(expected), atol=1e-4), name
