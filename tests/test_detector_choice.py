"""Detectors by name: what each needs is found on this disk, or told in a sentence."""

from __future__ import annotations

import pytest

from dva_core.detectors import DETECTORS, installed_detector, load_detector
from dva_core.weights import places
from dva_core.weights.registry import weight

from .sentences import one_sentence


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """An empty models folder, and no others."""
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "models"


def put(models, name: str) -> None:
    known = weight(name)
    for file, _ in places.files_at(known, models / known.place):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not a net")


def test_an_unknown_detector(models):
    with one_sentence("'dlib'", "insightface, ", "facexlib"):
        load_detector("dlib")


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_that_is_not_here_says_what_to_get(name, models):
    with one_sentence(DETECTORS[name][0], "licence", f"dva models get {DETECTORS[name][0]}", str(models)):
        load_detector(name)


def test_the_first_detector_that_is_whole_is_taken(models):
    with one_sentence("dva models get insightface-buffalo_l", "facexlib", "by hand"):
        installed_detector()
    put(models, "facexlib-retinaface-resnet50")
    with one_sentence("No face detector"):
        installed_detector()
    put(models, "facexlib-fan")
    assert installed_detector() == "facexlib"
    put(models, "insightface-buffalo_l")
    assert installed_detector() == "insightface"


def test_a_file_with_another_hash_than_the_published_one_is_refused(models):
    put(models, "insightface-buffalo_l")
    with one_sentence("det_10g.onnx", "dva models get insightface-buffalo_l"):
        load_detector("insightface")


def test_folders_of_the_caller_come_first(models, tmp_path):
    put(tmp_path / "comfyui", "insightface-buffalo_s")
    assert installed_detector([tmp_path / "comfyui"]) == "insightface-buffalo_s"
