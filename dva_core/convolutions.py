"""3 x 3 convolutions in fewer multiplications than their definition takes.

Large pictures on a CPU go by Winograd's F(4,3) down the columns (Lavin & Gray 2016, "Fast Algorithms for Convolutional
Neural Networks", Sec. 4.1; along the rows the convolution stays as it is): four rows of the result come from six sums
of six rows, each convolved 1 x 3, where they would take twelve. It is done on strips of rows that stay near the
processor, so that the sums cost less than they save.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

ROWS, TAPS, SUMS = 4, 3, 6
# The points at which polynomials are evaluated, beside 0 and infinity, are these and their opposites. Of those tried
# they round least, and a product of 1 saves a multiplication.
NEAR, FAR = 2 / 3, 3 / 2
# What a strip of the picture takes at most, in bytes, and the side from which a picture is worth it.
STRIP, LEAST_SIDE = 8 * 2**20, 64


class Conv3x3(nn.Conv2d):
    """A 3 x 3 convolution that keeps the picture's size, by Winograd's way where that is faster."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 3, padding=1)
        self._prepared: tuple[tuple[int, ...], Prepared] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not pays(x, self.weight):
            return super().forward(x)
        now = (*_state(self.weight), *_state(self.bias))
        if self._prepared is None or self._prepared[0] != now:
            self._prepared = now, prepare(self.weight, self.bias)
        return conv3x3(x, self._prepared[1])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Conv3x3:
        self._prepared = None  # of weights that are about to become others
        return super()._apply(fn, recurse)


def upsampling_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3 x 3 convolution of x [B,C,H,W] enlarged to 2H x 2W by repeating pixels, in 4/9 of the products.

    Repeated pixels meet sums of weights: the same is a transposed convolution with the 4 x 4 kernel of these sums.
    """
    sums = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    kernel = torch.einsum("oihw,ah,bw->ioab", weight, sums, sums)
    return F.conv_transpose2d(x, kernel.contiguous(memory_format=torch.channels_last), bias, stride=2, padding=1)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Weights for `conv3x3`: for each of the six sums a kernel [O,C,1,3] and a share of the bias [O]."""

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv3x3` is the faster way for pictures [B,C,H,W], and possible: on a CPU and without gradients."""
    height, width = x.shape[-2:]
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.bfloat16)
        and min(height, width) >= LEAST_SIDE
        and height % ROWS == 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def prepare(weight: Tensor, bias: Tensor) -> Prepared:
    """Of a weight [O,C,3,3] and a bias [O]: G g, and what A^T makes the bias of."""
    points = [0.0, NEAR, -NEAR, FAR, -FAR]
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
    pictures = rearrange(x, "b c h w -> b h w c")
    height, width, channels = pictures.shape[1:]
    result = x.new_empty(len(x), height, width, len(prepared.biases[0]))
    tiles = max(1, min(height // ROWS, STRIP // (ROWS * width * channels * x.dtype.itemsize)))
    sums = x.new_empty(SUMS, tiles, width, channels)
    for picture, out in zip(pictures, result, strict=True):
        for first in range(0, height, tiles * ROWS):
            last = min(first + tiles * ROWS, height)
            now = sums[:, : (last - first) // ROWS]
            _sum_strip(picture, first, last, now)
            maps = [_conv1x3(*each) for each in zip(now, prepared.kernels, prepared.biases, strict=True)]
            _combine(maps, [out[first + row : last : ROWS] for row in range(ROWS)])
    return rearrange(result, "b h w c -> b c h w")


def _state(weight: Tensor) -> tuple[int, int]:
    """Another one after every change in place; tensors that were made in inference mode do not count theirs."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _sum_strip(picture: Tensor, first: int, last: int, out: Tensor) -> None:
    """The six sums [6,n,W,C] of rows first to last of [H,W,C], which has rows of zeros beyond its edges."""
    inner = slice(int(first == 0), len(out[0]) - int(last == len(picture)))
    if first == 0:
        _sum_rows(F.pad(picture[: SUMS - 1], (0, 0, 0, 0, 1, 0)), out[:, :1])
    if last == len(picture):
        _sum_rows(F.pad(picture[1 - SUMS :], (0, 0, 0, 0, 0, 1)), out[:, -1:])
    if inner.start < inner.stop:
        _sum_rows(picture[first + inner.start * ROWS - 1 : first + inner.stop * ROWS + 1], out[:, inner])


def _sum_rows(rows: Tensor, out: Tensor) -> None:
    """The six sums [6,n,W,C] of every four rows, and one row more on each side, of [4 n + 2,W,C]: B^T d."""
    d = [rows[row : len(rows) - SUMS + row + 1 : ROWS] for row in range(SUMS)]
    both = NEAR**2 + FAR**2
    torch.add(torch.sub(d[4], d[2], alpha=both), d[0], out=out[0])
    torch.add(torch.sub(d[5], d[3], alpha=both), d[1], out=out[5])
    for row, point, other in ((1, NEAR, FAR), (3, FAR, NEAR)):
        even = torch.sub(d[4], d[2], alpha=other**2)
        odd = torch.sub(d[3], d[1], alpha=other**2)
        torch.add(even, odd, alpha=point, out=out[row])
        torch.sub(even, odd, alpha=point, out=out[row + 1])


def _conv1x3(rows: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """[n,W,C] -> [n,W,O]."""
    maps = F.conv2d(rearrange(rows, "h w c -> 1 c h w"), kernel, bias, padding=(0, 1))
    return rearrange(maps, "1 c h w -> h w c")


def _combine(m: list[Tensor], out: list[Tensor]) -> None:
    """Four rows [n,W,C] of the result, of six maps, which are used up: A^T m."""
    near_even, near_odd = m[1] + m[2], m[1].sub_(m[2])
    far_even, far_odd = m[3] + m[4], m[3].sub_(m[4])
    torch.add(m[0].add_(near_even), far_even, out=out[0])
    torch.add(m[5].add_(near_odd, alpha=NEAR**3), far_odd, alpha=FAR**3, out=out[3])
    torch.add(near_odd.mul_(NEAR), far_odd, alpha=FAR, out=out[1])
    torch.add(near_even.mul_(NEAR**2), far_even, alpha=FAR**2, out=out[2])
