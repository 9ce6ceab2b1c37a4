"""A whole model that builds in milliseconds: every part is there, none is trained."""

from __future__ import annotations

import torch

from dva_core.autoencoder import DiffusionVideoAutoencoder, ModelConfig
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.unet import UNetConfig

TINY = ModelConfig(
    name="tiny",
    unet=UNetConfig(
        image_size=32,
        model_channels=8,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention_resolutions=(8,),
        embed_channels=16,
        cond_channels=512,
        dropout=0.0,
        output="v",
        unshuffle=2,
    ),
    identity={"kind": "demo-resnet", "width": 8},
    landmarks={"kind": "demo-heatmap", "widths": [8, 8]},
    parser={"kind": "demo-unet", "widths": [8, 8]},
    detector={"kind": "demo-centre", "widths": [8, 8]},
)


def tiny_model() -> DiffusionVideoAutoencoder:
    """Random weights, the same every time; the layers that training starts at zero are random too."""
    torch.manual_seed(0)
    model = DiffusionVideoAutoencoder(TINY).eval().requires_grad_(False)
    for p in model.unet.parameters():
        p.add_(torch.randn_like(p), alpha=0.02)
    return model


def crops(frames: int = 5) -> torch.Tensor:
    """Smooth random pictures [T,3,32,32] in -1..1."""
    torch.manual_seed(1)
    coarse = torch.rand(frames, 3, 4, 4) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear").clamp(-1, 1)


def editable_model() -> DiffusionVideoAutoencoder:
    """The same, with a random direction for two attributes."""
    model = tiny_model()
    table = model.attributes
    for name in ("Eyeglasses", "No_Beard"):
        row = CELEBA_ATTRIBUTES.index(name)
        table.weight[row] = torch.randn(512, generator=torch.Generator().manual_seed(row))
        table.trained[row] = True
        table.midpoint[row], table.half_distance[row], table.strength[row] = 0, 3, 2
    return model
