"""`dva bench`: what it measures, and how it says so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from dva_core.cli import main
from dva_core.evaluation.edit_speed import PUBLISHED_EVALUATIONS, measure_edit
from dva_core.evaluation.speed import evaluations_per_frame, measure_speed, random_unet
from dva_core.weights.bundle import save_bundle

from .tiny_model import TINY, crops, tiny_model

SMALL = replace(TINY.unet, output="eps", unshuffle=1)


def small_net(dtype):
    return random_unet(dtype, "cpu", SMALL)


def test_every_number_of_the_net_is_there_and_explained():
    report = measure_speed(small_net, ["bfloat16", "float32"], repeats=1)
    for name in ("bfloat16", "float32"):
        assert report["unet_ratio"][name] == report["seconds"]["plain"] / report["seconds"][name]
        assert report["gflops"][name] > 0 and report["matmul_gflops"][name] > 0
    assert report["evaluations_per_frame"] == 21
    assert report["frames_at_once"] == 8
    assert {"seconds", "unet_ratio", "eps_error", "gflops", "matmul_gflops", "peak_bytes"} <= set(report["how"])


def test_the_net_is_compared_with_the_same_net():
    error = measure_speed(small_net, ["float32", "bfloat16"], repeats=1)["eps_error"]
    assert error["float32"] < 1e-5 < error["bfloat16"] < 0.02


def test_the_nets_of_a_measurement_are_alike():
    once, again = small_net(torch.float32), small_net(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_an_edit_takes_two_evaluations_a_step_and_one_more(steps):
    assert evaluations_per_frame(steps) == 2 * steps + 1


def test_a_whole_edit_is_counted_from_a_few_evaluations():
    demo = {"bfloat16": tiny_model(), "float32": tiny_model()}
    demo["bfloat16"].unet.to(torch.bfloat16)
    report = measure_edit(demo, crops(1), config=SMALL, repeats=1)
    ours = 8 * report["evaluations_per_frame"] * report["seconds_in_pipeline"]
    published = 8 * PUBLISHED_EVALUATIONS * report["seconds"]["plain"]
    assert report["edit_ratio"] == pytest.approx(published / ours)
    assert report["reconstruction_mse"] <= 1e-9
    assert report["reconstruction_mse_full_size"] <= 1e-9
    assert report["reconstruction_mse_published"] > 1e-6
    assert "EXTRAPOLATED" in report["how"]["edit_ratio"]
    wanted = {"reconstruction_mse", "steps", "evaluations_per_frame", "unet_ratio", "edit_ratio", "gflops"}
    assert wanted | {"matmul_gflops", "peak_bytes"} <= set(report["how"])


def test_the_command_prints_and_writes_what_it_measured(tmp_path, capsys):
    save_bundle(tiny_model(), tmp_path / "tiny.safetensors", summary={}, licence="MIT")
    report = tmp_path / "report.json"
    model = ["--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu"]
    assert main(["bench", *model, "--precision", "float32", "--repeats", "1", "--json", str(report)]) == 0
    assert set(json.loads(report.read_text())["unet_ratio"]) == {"float32"}
    assert "times as fast as plain, float32" in capsys.readouterr().out
