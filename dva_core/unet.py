"""The noise estimator: a U-Net that takes a noisy picture, its step and the face latent, and names the noise.

Kim et al. 2023, Sec. 3.2 and supplement. Parameter names are those of the published checkpoint without its
`ema_model.` prefix, so that published weights load unchanged.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .convolutions import Conv3x3, upsampling_conv
from .diffusion.schedule import linear_alpha_bar
from .errors import DvaError


@dataclass(frozen=True)
class UNetConfig:
    """The size of the net. The defaults are the published 256-pixel model.

    `attention_resolutions` are feature sizes in pixels, not strides. With `unshuffle` u the net works at
    image_size / u, on u x u pixel blocks folded into channels. `output` says what the last layer names: the
    noise ("eps"), or the velocity sqrt(alpha_bar) * eps - sqrt(1 - alpha_bar) * x_0 ("v", Salimans & Ho
    2022); what leaves the net is the noise in either case.
    """

    image_size: int = 256
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    embed_channels: int = 512
    cond_channels: int = 512
    num_heads: int = 1
    dropout: float = 0.1
    in_channels: int = 3
    out_channels: int = 3
    output: Literal["eps", "v"] = "eps"
    unshuffle: int = 1

    def __post_init__(self) -> None:
        # A config read from JSON brings lists; the frozen value holds tuples.
        object.__setattr__(self, "channel_mult", tuple(self.channel_mult))
        object.__setattr__(self, "attention_resolutions", tuple(self.attention_resolutions))
        if self.output not in ("eps", "v"):
            raise DvaError(f'The U-Net config has output "{self.output}"; it must be "eps" or "v".')
        smallest = self.unshuffle * 2 ** (len(self.channel_mult) - 1)
        if self.image_size % smallest:
            raise DvaError(f"The U-Net config has image_size {self.image_size}; it must be a multiple of {smallest}.")


class UNet(nn.Module):
    """eps_theta(x_t, t, z_face): two-condition residual blocks, time first, face latent second."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.model_channels
        pixels = config.unshuffle**2
        self.time_embed = TimeEmbedding(width, config.embed_channels)

        size = config.image_size // config.unshuffle
        first = nn.Conv2d(config.in_channels * pixels, width, 3, padding=1)
        self.input_blocks = nn.ModuleList([nn.ModuleList([first])])
        skip_widths = [width]
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks):
                block = nn.ModuleList([ResBlock(width, mult * config.model_channels, config)])
                width = mult * config.model_channels
                if size in config.attention_resolutions:
                    block.append(AttentionBlock(width, config.num_heads))
                self.input_blocks.append(block)
                skip_widths.append(width)
            if level < len(config.channel_mult) - 1:
                self.input_blocks.append(nn.ModuleList([ResBlock(width, width, config, resample="down")]))
                skip_widths.append(width)
                size //= 2

        self.middle_block = nn.ModuleList(
            [
                ResBlock(width, width, config),
                AttentionBlock(width, config.num_heads),
                ResBlock(width, width, config),
            ]
        )

        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for i in range(config.num_res_blocks + 1):
                block = nn.ModuleList([ResBlock(width + skip_widths.pop(), mult * config.model_channels, config)])
                width = mult * config.model_channels
                if size in config.attention_resolutions:
                    block.append(AttentionBlock(width, config.num_heads))
                if level > 0 and i == config.num_res_blocks:
                    block.append(ResBlock(width, width, config, resample="up"))
                    size *= 2
                self.output_blocks.append(block)

        last = nn.Conv2d(width, config.out_channels * pixels, 3, padding=1)
        self.out = nn.Sequential(GroupNorm(width), nn.SiLU(), _zeroed(last))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | Sequence[Tensor]) -> Tensor:
        """Names the noise in x.

        x: [B,3,S,S] noisy pictures. t: int64 [B], ORIGINAL steps 0..999, or [1] for a step that all share. cond:
        [B,cond_channels], or [1,cond_channels] for a face that all share; or their `modulations`, where these are
        known. Returns float32 [B,3,S,S] in any precision of weights.
        """
        emb = F.silu(self.time_embed(t))
        faces = iter(self.modulations(cond) if isinstance(cond, Tensor) else cond)

        h = F.pixel_unshuffle(x, self.config.unshuffle).to(self.dtype).contiguous(memory_format=torch.channels_last)
        h = self.input_blocks[0][0](h)
        skips = [h]
        for block in self.input_blocks[1:]:
            h = _through(block, h, emb, faces)
            skips.append(h)
        h = _through(self.middle_block, h, emb, faces)
        for block in self.output_blocks:
            h = _through(block, torch.cat([h, skips.pop()], dim=1), emb, faces)

        # At late steps x_0 is the noise's error times 100: half precision here would drown the condition.
        with torch.autocast(h.device.type, enabled=False):
            norm, _, last = self.out
            h = F.group_norm(h.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps)
            h = F.conv2d(_activated(h), last.weight.float(), last.bias.float(), padding=1)
            h = F.pixel_shuffle(h, self.config.unshuffle)
            return h if self.config.output == "eps" else eps_from_v(h, x.float(), t)

    def modulations(self, cond: Tensor) -> list[Tensor]:
        """What faces [N,cond_channels] do to each residual block: its scale and shift, [N,2*width].

        They are the same at every step, so that a clip needs them once.
        """
        # Every block passes SiLU over both conditions before its own linear layer: do it once.
        cond = F.silu(cond.to(self.dtype))
        return [block.cond_emb_layers[1](cond) for block in self.modules() if isinstance(block, ResBlock)]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights, in which all but the last layer is computed."""
        return self.input_blocks[0][0].weight.dtype


class TimeEmbedding(nn.Module):
    """Sinusoids of the step, then a small MLP: int64 [B] -> [B,embed_channels]."""

    def __init__(self, width: int, embed_channels: int) -> None:
        super().__init__()
        self.width = width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embed_channels), nn.SiLU(), nn.Linear(embed_channels, embed_channels)
        )

    def forward(self, t: Tensor) -> Tensor:
        return self.time_embed(timestep_embedding(t, self.width).to(self.time_embed[0].weight.dtype))


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Sinusoids of t [B] -> float32 [B,dim]: cosines, then sines, frequencies from 1 to almost 1/10000.

    An odd dim ends in one zero. (Vaswani et al. 2017, Sec. 3.5, in the cosine-first order of Ho et al. 2020.)
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, dim % 2))


class ResBlock(nn.Module):
    """Three convolutions; the step modulates what enters the second, the face latent what enters the last."""

    def __init__(
        self, width_in: int, width_out: int, config: UNetConfig, resample: Literal["up", "down"] | None = None
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(GroupNorm(width_in), nn.SiLU(), Conv3x3(width_in, width_out))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.embed_channels, 2 * width_out))
        self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.cond_channels, 2 * width_out))
        self.out_layers = nn.Sequential(
            GroupNorm(width_out),
            nn.SiLU(),
            Conv3x3(width_out, width_out),
            GroupNorm(width_out),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            _zeroed(Conv3x3(width_out, width_out)),
        )
        self.skip_connection = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor, emb: Tensor, face: Tensor) -> Tensor:
        """x: [B,C,H,W]; emb: [B or 1,channels], SiLU already applied; face: its scale and shift, [B or 1,2*width]."""
        norm, _, conv = self.in_layers
        norm_t, _, conv_t, norm_c, _, dropout, conv_c = self.out_layers
        h = self._resampling(conv, _activated(norm(x)))
        h = conv_t(_activated(_modulated(norm_t, h, self.emb_layers[1](emb))))
        h = conv_c(dropout(_activated(_modulated(norm_c, h, face))))
        return _sum(h, self.skip_connection(self._resampled(x)))

    def _resampling(self, conv: nn.Conv2d, h: Tensor) -> Tensor:
        """The convolution of a picture that is first brought to the block's size."""
        return upsampling_conv(h, conv.weight, conv.bias) if self.resample == "up" else conv(self._resampled(h))

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return x


class AttentionBlock(nn.Module):
    """Self-attention over all pixels, added to its input."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm(width)
        self.qkv = TokenLinear(width, 3 * width, 1)
        self.proj_out = _zeroed(TokenLinear(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B,C,H,W] -> the same."""
        tokens = rearrange(self.norm(x), "b c h w -> b (h w) c")
        # Heads are split off before q, k and v: the published channel order.
        q, k, v = rearrange(self.qkv(tokens), "b l (n three c) -> three b n l c", three=3, n=self.num_heads)
        mixed = rearrange(F.scaled_dot_product_attention(q, k, v), "b n l c -> b l (n c)")
        return _sum(rearrange(self.proj_out(mixed), "b (h w) c -> b c h w", h=x.shape[2]), x)


class TokenLinear(nn.Conv1d):
    """Linear over the last axis, [..., in] -> [..., out], with the weight shape of a 1-wide convolution."""

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(tokens, self.weight[:, :, 0], self.bias)


class GroupNorm(nn.GroupNorm):
    """Normalisation with statistics in float32 whatever the input (PyTorch's own), back in the input's precision.

    32 groups as published; where 32 does not divide the width, the largest number below that does.
    """

    def __init__(self, width: int) -> None:
        super().__init__(max(n for n in range(1, 33) if width % n == 0), width)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).to(x.dtype)  # autocast would leave it in float32 on a GPU


def _through(block: nn.ModuleList, h: Tensor, emb: Tensor, faces: Iterator[Tensor]) -> Tensor:
    for layer in block:
        h = layer(h, emb, next(faces)) if isinstance(layer, ResBlock) else layer(h)
    return h


def _modulated(norm: GroupNorm, h: Tensor, scale_shift: Tensor) -> Tensor:
    """The normalised h, scaled and shifted; in one go where all share the step, or the face.

    Not where gradients are asked for: PyTorch 2.13 crashes at those of a group normalisation's weights (CPU,
    channels-last).
    """
    if len(scale_shift) == 1 and not torch.is_grad_enabled():
        scale, shift = scale_shift[0].chunk(2)
        weight, bias = norm.weight * (1 + scale), torch.addcmul(shift, norm.bias, 1 + scale)
        return F.group_norm(h, norm.num_groups, weight, bias, norm.eps).to(h.dtype)
    h = norm(h)
    scale, shift = scale_shift[:, :, None, None].chunk(2, dim=1)
    return torch.addcmul(shift, h, 1 + scale, out=None if torch.is_grad_enabled() else h)


# Fresh memory costs more time than these operations do: where no gradient is asked for, they write over their input.


def _activated(h: Tensor) -> Tensor:
    return F.silu(h, inplace=not torch.is_grad_enabled())


def _sum(h: Tensor, x: Tensor) -> Tensor:
    return h + x if torch.is_grad_enabled() else h.add_(x)


def _zeroed(layer: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """Starts the layer at zero, so that its branch first changes nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def eps_from_v(v: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """The noise in x [B,3,S,S] at steps t [B or 1] for a velocity v (Salimans & Ho 2022, Sec. 4)."""
    signal, noise = _signal_and_noise(x.device)
    return signal[t, None, None, None] * v + noise[t, None, None, None] * x


@functools.lru_cache(maxsize=8)
def _signal_and_noise(device: torch.device) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar), sqrt(1 - alpha_bar), float32 [1000]; no buffers, because .half() would spoil them."""
    alpha_bar = linear_alpha_bar()
    return alpha_bar.sqrt().float().to(device), (1 - alpha_bar).sqrt().float().to(device)
