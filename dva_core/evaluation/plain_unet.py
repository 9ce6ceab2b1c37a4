"""The noise estimator computed the plain way: what the speed of this package's net is compared with.

The same layers and weights as `dva_core.unet`, one operation after the other as the published code has them: float32,
channels before pixels in memory, attention as two products and a softmax, both conditions through SiLU in every
block, and nothing kept from one evaluation to the next.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..unet import AttentionBlock, ResBlock, UNet, eps_from_v, timestep_embedding


def plain_copy(unet: UNet) -> UNet:
    """The same net in float32, channels before pixels; for `plain_noise`."""
    return copy.deepcopy(unet).to(dtype=torch.float32).to(memory_format=torch.contiguous_format)


@torch.no_grad()
def plain_noise(unet: UNet, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """The noise in x, float32 [B,3,S,S], as `UNet.forward` names it.

    unet: from `plain_copy`. x: [B,3,S,S]. t: int64 [B]. cond: [B,cond_channels].
    """
    emb = unet.time_embed.time_embed(timestep_embedding(t, unet.time_embed.width))
    first, *blocks = unet.input_blocks
    h = first[0](F.pixel_unshuffle(x, unet.config.unshuffle))
    skips = [h]
    for block in blocks:
        h = _through(block, h, emb, cond)
        skips.append(h)
    h = _through(unet.middle_block, h, emb, cond)
    for block in unet.output_blocks:
        h = _through(block, torch.cat([h, skips.pop()], dim=1), emb, cond)
    norm, _, last = unet.out
    h = F.pixel_shuffle(last(F.silu(_normalised(norm, h))), unet.config.unshuffle)
    return h if unet.config.output == "eps" else eps_from_v(h, x, t)


def _through(block: nn.ModuleList, h: Tensor, emb: Tensor, cond: Tensor) -> Tensor:
    for layer in block:
        if isinstance(layer, ResBlock):
            h = _residual(layer, h, emb, cond)
        elif isinstance(layer, AttentionBlock):
            h = _attended(layer, h)
        else:
            h = layer(h)
    return h


def _residual(block: ResBlock, x: Tensor, emb: Tensor, cond: Tensor) -> Tensor:
    norm, _, conv = block.in_layers
    norm_t, _, conv_t, norm_c, _, _, conv_c = block.out_layers
    h = _convolved(conv, _resized(block, F.silu(_normalised(norm, x))))
    h = _convolved(conv_t, F.silu(_modulated(_normalised(norm_t, h), block.emb_layers[1](F.silu(emb)))))
    h = _convolved(conv_c, F.silu(_modulated(_normalised(norm_c, h), block.cond_emb_layers[1](F.silu(cond)))))
    return block.skip_connection(_resized(block, x)) + h


def _attended(block: AttentionBlock, x: Tensor) -> Tensor:
    tokens = _normalised(block.norm, x).flatten(2)
    qkv = F.conv1d(tokens, block.qkv.weight, block.qkv.bias)
    q, k, v = rearrange(qkv, "b (n three c) l -> three (b n) c l", three=3, n=block.num_heads)
    scale = q.shape[1] ** -0.25
    weights = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
    mixed = rearrange(torch.einsum("bts,bcs->bct", weights, v), "(b n) c l -> b (n c) l", n=block.num_heads)
    return x + F.conv1d(mixed, block.proj_out.weight, block.proj_out.bias).view_as(x)


def _convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """PyTorch's own convolution, where the net's may be another."""
    return F.conv2d(x, conv.weight, conv.bias, padding=1)


def _resized(block: ResBlock, x: Tensor) -> Tensor:
    if block.resample == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.avg_pool2d(x, 2) if block.resample == "down" else x


def _normalised(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def _modulated(h: Tensor, scale_shift: Tensor) -> Tensor:
    scale, shift = scale_shift[:, :, None, None].chunk(2, dim=1)
    return h * (1 + scale) + shift
