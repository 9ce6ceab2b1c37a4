"""Convolutions in fewer multiplications, against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dva_core.convolutions import Conv3x3, conv3x3, pays, prepare
from dva_core.evaluation.plain_unet import plain_copy, plain_noise
from dva_core.evaluation.speed import random_unet
from dva_core.unet import UNetConfig


def layer(width_in: int, width_out: int, dtype: torch.dtype = torch.float32) -> Conv3x3:
    torch.manual_seed(0)
    return Conv3x3(width_in, width_out).to(dtype).requires_grad_(False)


def pictures(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def far_off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative root mean square."""
    return float((found.double() - expected.double()).square().mean().sqrt() / expected.double().square().mean().sqrt())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 0.012)])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 16, 64, 64),
        (2, 3, 72, 67),
        (1, 256, 128, 64),  # several strips
        (1, 8, 8, 64),
    ],
)
def test_it_is_the_convolution_of_pytorch(shape, dtype, tolerance):
    conv, x = layer(shape[1], 5, dtype), pictures(*shape, dtype=dtype)
    found = conv3x3(x, prepare(conv.weight, conv.bias))
    expected = F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    assert far_off(found, expected) < tolerance


def test_a_picture_does_not_depend_on_its_batch():
    conv, x = layer(16, 8), pictures(3, 16, 64, 64)
    prepared = prepare(conv.weight, conv.bias)
    one_by_one = torch.cat([conv3x3(each, prepared) for each in x.split(1)])
    assert torch.equal(conv3x3(x, prepared), one_by_one)


def test_it_is_used_for_large_pictures_that_need_no_gradient():
    conv, large = layer(4, 4), pictures(1, 4, 64, 64)
    with torch.no_grad():
        assert pays(large, conv.weight)
        assert not pays(pictures(1, 4, 32, 64), conv.weight)
        assert not pays(pictures(1, 4, 66, 64), conv.weight)  # no multiple of four
        assert not pays(large.half(), conv.weight.half())
        assert not pays(large.bfloat16(), conv.weight)
        with torch.autocast("cpu", torch.bfloat16):
            assert not pays(large, conv.weight)
    assert not pays(large, conv.weight)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_new_weights_count_at_once(mode):
    conv, x = layer(4, 4), pictures(1, 4, 64, 64)
    with mode():
        conv(x)
        for change in (
            lambda: conv.weight.mul_(2),
            lambda: conv.bias.add_(1),
            lambda: conv.load_state_dict(layer(4, 4).state_dict()),
            lambda: conv.bfloat16().float(),
        ):
            change()
            assert far_off(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=1)) < 3e-6


def test_gradients_reach_the_weights():
    conv = layer(4, 4).requires_grad_(True)
    conv(pictures(1, 4, 64, 64)).sum().backward()
    assert conv.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_a_net_for_large_pictures_names_the_same_noise():
    config = UNetConfig(
        image_size=128, model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(), dropout=0.0
    )
    net = random_unet(torch.float32, "cpu", config)
    x, t, z_face = pictures(2, 3, 128, 128), torch.tensor([500]), torch.randn(2, 512)
    found, expected = net(x, t, z_face), plain_noise(plain_copy(net), x, t, z_face)
    assert 0 < far_off(found, expected) < 2e-5
