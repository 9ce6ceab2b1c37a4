"""On an NVIDIA GPU: the same pictures as on the CPU, whatever the precision."""

from __future__ import annotations

import pytest
import torch

from dva_core.evaluation.speed import compile_net, measure_speed, random_unet
from dva_core.pipeline import decode_clip, encode_clip

from .tiny_model import TINY, crops, tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


def noise(model, x, t, z_face):
    with torch.no_grad():
        return model.eps(z_face)(x, t)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.05), (torch.float16, 0.02)]
)
def test_the_noise_is_that_of_the_cpu(dtype, tolerance):
    on_cpu, on_gpu = tiny_model(), tiny_model().cuda()
    on_gpu.unet.to(dtype)
    x, t, z_face = crops(5), torch.tensor([500]), torch.randn(5, 512, generator=torch.Generator().manual_seed(0))
    expected, found = noise(on_cpu, x, t, z_face), noise(on_gpu, x.cuda(), t.cuda(), z_face)
    assert found.device.type == "cuda" and found.dtype == torch.float32
    assert (found.cpu() - expected).square().mean().sqrt() < tolerance * expected.square().mean().sqrt()


def test_pictures_may_wait_on_the_cpu():
    model = tiny_model().cuda()
    x, t, z_face = crops(5), torch.tensor([500]), torch.randn(1, 512, generator=torch.Generator().manual_seed(0))
    found = noise(model, x.pin_memory(), t, z_face)
    assert found.device.type == "cpu"
    assert torch.allclose(found, noise(model, x.cuda(), t.cuda(), z_face).cpu(), atol=1e-4)


def test_an_unedited_clip_returns():
    model = tiny_model().cuda()
    clip = encode_clip(model, crops(3), 5)
    assert torch.allclose(decode_clip(model, clip, clip.identity.mean()), clip.crops, atol=1e-5)


def test_a_compiled_net_names_the_same_noise():
    model, compiled = tiny_model().cuda(), tiny_model().cuda()
    compile_net(compiled.unet)
    x, z_face = crops(5).cuda(), torch.randn(5, 512, generator=torch.Generator().manual_seed(0))
    for step in (100, 500, 900):
        t = torch.tensor([step], device="cuda")
        assert torch.allclose(noise(compiled, x, t, z_face), noise(model, x, t, z_face), atol=1e-3)


def test_speed_and_memory_are_measured():
    report = measure_speed(lambda dtype: random_unet(dtype, "cuda", TINY.unet), ["float32", "float16"], repeats=2)
    assert report["device"].startswith("cuda") and report["peak_bytes"] > 0
