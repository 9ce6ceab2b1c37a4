"""The noise schedule and its spacings are those of the reference implementation."""

from __future__ import annotations

import pytest

from dva_core.diffusion import linear_alpha_bar, spaced_timesteps
from dva_core.errors import DvaError

from .golden import load_json

schedule = load_json("schedule.json")


def test_golden_alpha_bar():
    alpha_bar = linear_alpha_bar()
    for step, expected in schedule["alphas_cumprod"].items():
        assert alpha_bar[int(step)].item() == pytest.approx(expected, rel=1e-12)


def test_golden_betas():
    alpha_bar = linear_alpha_bar()
    for step, expected in schedule["betas"].items():
        before = alpha_bar[int(step) - 1] if int(step) else 1.0
        assert (1 - alpha_bar[int(step)] / before).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("steps", schedule["spaced"])
def test_golden_spacing(steps):
    kept = spaced_timesteps(int(steps))
    expected = schedule["spaced"][steps]
    assert kept[1] - kept[0] == expected["stride"]
    if "timesteps" in expected:
        assert kept == expected["timesteps"]
    if "alphas_cumprod" in expected:
        assert linear_alpha_bar()[kept].tolist() == pytest.approx(expected["alphas_cumprod"], rel=1e-9)


def test_golden_valid_counts():
    for steps in schedule["valid_T"]:
        assert len(spaced_timesteps(steps)) == steps
    for steps in schedule["invalid_T_up_to_100"]:
        with pytest.raises(DvaError):
            spaced_timesteps(steps)
