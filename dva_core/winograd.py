"""A 3 x 3 convolution in half the multiplications, for large pictures on a CPU.

Winograd's F(4,3) down the columns (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", Sec. 4.1;
along the rows the convolution stays as it is): four rows of the result come from six sums of six rows, each convolved
1 x 3, where they would take twelve. It is done on strips of rows that stay near the processor, so that the sums cost
less than they save.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

ROWS, TAPS, SUMS = 4, 3, 6
# What a strip of the picture takes at most, in bytes, and the side from which a picture is worth it.
STRIP, LEAST_SIDE = 8 * 2**20, 64


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv3x3` is the faster way for pictures [B,C,H,W], and possible: on a CPU and without gradients."""
    height, width = x.shape[-2:]
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in _POINTS
        and min(height, width) >= LEAST_SIDE
        and height % ROWS == 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Weights for `conv3x3`: for each of the six sums a kernel [O,C,1,3] and a share of the bias [O]."""

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


def prepare(weight: Tensor, bias: Tensor) -> Prepared:
    """Of a weight [O,C,3,3], float32 or bfloat16, and a bias [O]: G g, and what A^T makes the bias of."""
    a, b = _POINTS[weight.dtype]
    points = [0.0, a, -a, b, -b]
    scales = [math.prod(point - other for other in points if other != point) for point in points]
    g = [[point**tap / scale for tap in range(TAPS)] for point, scale in zip(points, scales, strict=True)]
    g = weight.new_tensor([*g, [0.0, 0.0, 1.0]], dtype=torch.float32)
    taps = rearrange(weight.float(), "o c h w -> o h (w c)")
    kernels = rearrange(g @ taps, "o sums (w c) -> sums o c 1 w", w=TAPS).to(weight.dtype)
    a_t = torch.tensor([[*(point**row for point in points), float(row == ROWS - 1)] for row in range(ROWS)])
    shares = torch.linalg.pinv(a_t.double()).sum(dim=1).tolist()
    return Prepared(
        tuple(kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels),
        tuple(bias * share for share in shares),
    )


def conv3x3(x: Tensor, prepared: Prepared) -> Tensor:
    """`F.conv2d(x, weight, bias, padding=1)` to rounding, for x [B,C,H,W] with H a multiple of 4, at least 8."""
    a, b = _POINTS[x.dtype]
    pictures = rearrange(x, "b c h w -> b h w c")
    height, width, channels = pictures.shape[1:]
    result = x.new_empty(len(x), height, width, len(prepared.biases[0]))
    tiles = max(1, min(height // ROWS, STRIP // (ROWS * width * channels * x.dtype.itemsize)))
    sums = x.new_empty(SUMS, tiles, width, channels)
    for picture, out in zip(pictures, result, strict=True):
        for first in range(0, height, tiles * ROWS):
            last = min(first + tiles * ROWS, height)
            now = sums[:, : (last - first) // ROWS]
            _sum_strip(picture, first, last, now, a, b)
            maps = [_conv1x3(*each) for each in zip(now, prepared.kernels, prepared.biases, strict=True)]
            _combine(maps, [out[first + row : last : ROWS] for row in range(ROWS)], a, b)
    return rearrange(result, "b h w c -> b c h w")


# The points at which the polynomials are evaluated, beside 0 and infinity: a, -a, b, -b.
_POINTS = {torch.float32: (1.0, 2.0), torch.bfloat16: (2 / 3, 3 / 2)}


def _sum_strip(picture: Tensor, first: int, last: int, out: Tensor, a: float, b: float) -> None:
    """The six sums [6,n,W,C] of rows first to last of [H,W,C], which has rows of zeros beyond its edges."""
    inner = slice(int(first == 0), len(out[0]) - int(last == len(picture)))
    if first == 0:
        _sum_rows(F.pad(picture[: SUMS - 1], (0, 0, 0, 0, 1, 0)), out[:, :1], a, b)
    if last == len(picture):
        _sum_rows(F.pad(picture[1 - SUMS :], (0, 0, 0, 0, 0, 1)), out[:, -1:], a, b)
    if inner.start < inner.stop:
        _sum_rows(picture[first + inner.start * ROWS - 1 : first + inner.stop * ROWS + 1], out[:, inner], a, b)


def _sum_rows(rows: Tensor, out: Tensor, a: float, b: float) -> None:
    """The six sums [6,n,W,C] of every four rows, and one row more on each side, of [4 n + 2,W,C]: B^T d."""
    d = [rows[row : len(rows) - SUMS + row + 1 : ROWS] for row in range(SUMS)]
    both = a * a + b * b
    torch.add(torch.add(d[4], d[2], alpha=-both), d[0], alpha=(a * b) ** 2, out=out[0])
    torch.add(torch.add(d[5], d[3], alpha=-both), d[1], alpha=(a * b) ** 2, out=out[5])
    for row, near, far in ((1, a, b), (3, b, a)):
        even = torch.sub(d[4], d[2], alpha=far * far)
        odd = torch.sub(d[3], d[1], alpha=far * far)
        torch.add(even, odd, alpha=near, out=out[row])
        torch.sub(even, odd, alpha=near, out=out[row + 1])


def _conv1x3(rows: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """[n,W,C] -> [n,W,O]."""
    maps = F.conv2d(rearrange(rows, "h w c -> 1 c h w"), kernel, bias, padding=(0, 1))
    return rearrange(maps, "1 c h w -> h w c")


def _combine(m: list[Tensor], out: list[Tensor], a: float, b: float) -> None:
    """Four rows [n,W,C] of the result, of six maps, which are used up: A^T m."""
    near_even, near_odd = m[1] + m[2], m[1].sub_(m[2])
    far_even, far_odd = m[3] + m[4], m[3].sub_(m[4])
    torch.add(m[0].add_(near_even), far_even, out=out[0])
    if a == 1:
        torch.add(near_odd, far_odd, alpha=b, out=out[1])
        torch.add(near_even, far_even, alpha=b**2, out=out[2])
        torch.add(m[5].add_(near_odd), far_odd, alpha=b**3, out=out[3])
    else:
        torch.add(m[5].add_(near_odd, alpha=a**3), far_odd, alpha=b**3, out=out[3])
        torch.add(near_odd.mul_(a), far_odd, alpha=b, out=out[1])
        torch.add(near_even.mul_(a**2), far_even, alpha=b**2, out=out[2])
