"""The noise estimator: published names, batches and precisions that change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dva_core.convolutions import upsampling_conv
from dva_core.errors import DvaError
from dva_core.evaluation.plain_unet import plain_copy, plain_noise
from dva_core.unet import UNet, UNetConfig

from .golden import load_json

SMALL = UNetConfig(
    image_size=16,
    model_channels=24,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(4,),
    embed_channels=32,
    cond_channels=20,
    dropout=0.0,
    unshuffle=2,
    output="v",
)


def lively(config: UNetConfig) -> UNet:
    """A net whose zero-started layers are random too, so that every part of it is heard."""
    torch.manual_seed(0)
    unet = UNet(config).eval().requires_grad_(False)
    for p in unet.parameters():
        p.add_(torch.randn_like(p), alpha=0.05)
    return unet


def batch(config: UNetConfig, size: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x = torch.randn(size, 3, config.image_size, config.image_size)
    return x, torch.randint(0, 1000, (size,)), torch.randn(size, config.cond_channels)


def test_released_config_has_the_published_names_and_shapes():
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    ours = {name: list(t.shape) for name, t in unet.state_dict().items()}
    published = {name.removeprefix("ema_model."): about["shape"] for name, about in load_json("keys.json").items()}
    assert ours == {name: shape for name, shape in published.items() if not name.startswith("encoder.")}


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("output", ["eps", "v"])
def test_noise_has_the_shape_of_the_picture(unshuffle, output):
    config = replace(SMALL, unshuffle=unshuffle, output=output)
    x, t, cond = batch(config)
    noise = lively(config)(x, t, cond)
    assert noise.shape == x.shape
    assert noise.dtype == torch.float32


def test_velocity_output_is_turned_into_noise():
    # Untrained nets end in a zero layer. Velocity 0 means noise sqrt(1 - alpha_bar) * x.
    x, _, cond = batch(SMALL)
    t = torch.tensor([0, 500, 999])
    share = torch.tensor([0.01, 0.960314, 0.99998])  # sqrt(1 - alpha_bar) at these steps
    with torch.no_grad():
        assert torch.allclose(UNet(SMALL)(x, t, cond), share[:, None, None, None] * x, atol=1e-6)
        assert (UNet(replace(SMALL, output="eps"))(x, t, cond) == 0).all()


def test_pictures_in_a_batch_do_not_see_each_other():
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    alone = torch.cat([unet(x[i : i + 1], t[i : i + 1], cond[i : i + 1]) for i in range(len(x))])
    assert torch.allclose(unet(x, t, cond), alone, atol=1e-5)


def test_one_condition_serves_a_whole_batch():
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    assert torch.allclose(unet(x, t, cond[:1]), unet(x, t, cond[:1].expand(len(x), -1)), atol=1e-6)


def test_one_step_serves_a_whole_batch():
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    with torch.no_grad():
        assert torch.allclose(unet(x, t[:1], cond), unet(x, t[:1].expand(len(x)), cond), atol=1e-5)


def test_what_faces_do_to_the_blocks_is_known_before_the_steps():
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    assert torch.equal(unet(x, t, unet.modulations(cond)), unet(x, t, cond))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_nothing_that_is_handed_in_is_written_over(precision):
    unet = lively(SMALL).to(precision)
    x, t, cond = batch(SMALL)
    faces = unet.modulations(cond)
    given = [x, t, *faces]
    before = [part.clone() for part in given]
    with torch.no_grad():
        first = unet(x, t, faces)
        assert torch.equal(unet(x, t, faces), first)
    assert all(torch.equal(part, old) for part, old in zip(given, before, strict=True))


def test_gradients_and_their_absence_name_the_same_noise():
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    with torch.no_grad():
        without = unet(x, t, cond)
    assert torch.allclose(unet(x, t, cond.requires_grad_(True)), without, atol=1e-6)


def test_a_convolution_of_an_enlarged_picture_needs_no_enlarging():
    torch.manual_seed(2)
    x, weight, bias = torch.randn(2, 5, 6, 4), torch.randn(7, 5, 3, 3), torch.randn(7)
    enlarged = F.interpolate(x, scale_factor=2, mode="nearest")
    assert torch.allclose(upsampling_conv(x, weight, bias), F.conv2d(enlarged, weight, bias, padding=1), atol=1e-4)


def test_the_plain_way_names_the_same_noise():
    for output in ("eps", "v"):
        unet = lively(replace(SMALL, output=output, num_heads=2))
        x, t, cond = batch(SMALL)
        assert torch.allclose(plain_noise(plain_copy(unet), x, t, cond), unet(x, t, cond), atol=1e-5)


@pytest.mark.parametrize("part", ["step", "condition"])
def test_noise_depends_on(part):
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    changed = unet(x, (t + 300) % 1000, cond) if part == "step" else unet(x, t, -cond)
    assert (changed - unet(x, t, cond)).abs().max() > 1e-2


def test_heads_change_the_result_but_not_the_parameters():
    x, t, cond = batch(SMALL)
    one, two = lively(SMALL), lively(replace(SMALL, num_heads=2))
    two.load_state_dict(one.state_dict())
    assert (one(x, t, cond) - two(x, t, cond)).abs().max() > 1e-5


@pytest.mark.parametrize("precision", ["autocast", "weights"])
def test_half_precision_stays_close_and_answers_in_float32(precision):
    unet = lively(SMALL)
    x, t, cond = batch(SMALL)
    exact = unet(x, t, cond)
    if precision == "weights":
        noise = unet.to(torch.bfloat16)(x, t, cond)
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            noise = unet(x, t, cond)
    assert noise.dtype == torch.float32
    assert (noise - exact).square().mean().sqrt() < 0.02 * exact.square().mean().sqrt()


def test_every_parameter_learns():
    unet = lively(SMALL).requires_grad_(True)
    x, t, cond = batch(SMALL)
    unet(x, t, cond).square().mean().backward()
    still = [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still


@pytest.mark.parametrize("mistake", [{"output": "x0"}, {"image_size": 18}])
def test_impossible_configs_are_refused(mistake):
    with pytest.raises(DvaError, match=next(iter(mistake))):
        replace(SMALL, **mistake)
