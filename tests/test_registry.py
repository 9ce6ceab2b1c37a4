"""Which weight files are known, where they are looked for, and what is remembered of their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path, PurePosixPath

import pytest

from dva_core.errors import DvaError
from dva_core.weights import ledger, places
from dva_core.weights.plausible import implausible
from dva_core.weights.registry import WEIGHTS, WeightFile, by_hand, weight

DETECTOR = weight("facexlib-retinaface-resnet50")
CHECKPOINT = weight("dva-checkpoint")
PACK = weight("insightface-buffalo_s")
WEIGHTS_OF_PYTORCH = b"\x80\x02weights"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Somebody's home, with nothing in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("DVA_MODELS", raising=False)
    return tmp_path / "home"


def put(path: Path, content: bytes = WEIGHTS_OF_PYTORCH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- the registry ---


def test_names_and_places_are_each_used_once():
    assert len({known.name for known in WEIGHTS}) == len({known.place for known in WEIGHTS}) == len(WEIGHTS)


@pytest.mark.parametrize("known", WEIGHTS, ids=lambda known: known.name)
def test_every_file_tells_what_somebody_must_know_before_using_it(known: WeightFile):
    assert known.purpose and known.licence and known.why and known.commercial in ("yes", "no", "unclear")
    assert re.fullmatch(r"drive:[\w-]{33}|https://\S+", known.source) and known.page.startswith("https://")
    place = PurePosixPath(known.place)
    assert not place.is_absolute() and ".." not in place.parts
    for sha256 in [known.sha256, *(file.sha256 for file in known.contents)]:
        assert sha256 is None or re.fullmatch("[0-9a-f]{64}", sha256)
    assert bool(known.sha256) == bool(known.hash_from)


def test_the_pages_of_drive_files_can_be_opened_in_a_browser():
    assert CHECKPOINT.page == "https://drive.google.com/file/d/1Q6z7Wmo9xve5SgfDJExohpDSSNi4QxcH/view"


def test_openais_address_carries_the_hash_of_clip():
    clip = weight("openclip-vit-b-16-openai")
    assert clip.source.split("/")[-2] == clip.sha256


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(DvaError, match=r"no known weight file 'dva'; .* dva-checkpoint, dva-classifier"):
        weight("dva")


def test_the_way_by_hand_names_the_page_and_the_place(tmp_path):
    assert by_hand(CHECKPOINT, tmp_path).endswith(f"save it as {tmp_path}/dva/diffusion_video_autoencoder.ckpt")
    assert f"det_500m.onnx, w600k_mbf.onnx, 1k3d68.onnx, 2d106det.onnx, genderage.onnx lie in {tmp_path}" in by_hand(
        PACK, tmp_path
    )


# --- the folders ---


def test_downloads_go_to_the_folder_that_the_environment_names_or_to_the_cache(tmp_path, home, monkeypatch):
    assert places.models_folder() == home / ".cache" / "dva" / "models"
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "mine"))
    assert places.models_folder() == tmp_path / "mine"


def test_files_are_looked_for_in_the_folders_given_then_in_all_of_our_own_each_once(tmp_path, home, monkeypatch):
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "mine"))
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "ComfyUI/custom_nodes/comfyui-dva")
    comfyui, cache = tmp_path / "ComfyUI/models", home / ".cache/dva/models"
    comfyui.mkdir(parents=True)
    own = (tmp_path / "mine", comfyui, cache)
    assert places.search_folders() == own
    assert places.search_folders([tmp_path / "given", comfyui]) == (tmp_path / "given", comfyui, own[0], cache)
    monkeypatch.delenv("DVA_MODELS")
    assert places.models_folder() == comfyui


def test_what_lies_in_another_folder_of_ours_is_recorded_there(tmp_path, home, monkeypatch):
    monkeypatch.setenv("DVA_MODELS", str(tmp_path / "mine"))
    path = put(home / ".cache/dva/models" / CHECKPOINT.place)
    assert places.require(CHECKPOINT.name) == path
    assert (home / ".cache/dva/models/hashes.json").is_file() and not (tmp_path / "mine").exists()


def test_a_home_that_does_not_exist_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DVA_MODELS", "~nosuchuser/x")
    with pytest.raises(
        DvaError, match=r"^DVA_MODELS is ~nosuchuser/x, but there is no such home folder; set it to another folder\."
    ):
        places.models_folder()
    # What is left of ~ where a container's user has no home.
    monkeypatch.setenv("HOME", "~")
    monkeypatch.setenv("USERPROFILE", "~")
    monkeypatch.setenv("DVA_MODELS", str(tmp_path))
    assert places.search_folders() == (tmp_path,) and places.find(PACK) is None
    monkeypatch.delenv("DVA_MODELS")
    with pytest.raises(DvaError, match=r"has no home folder for weight files; set DVA_MODELS to a folder for them\.$"):
        places.models_folder()


def test_comfyuis_folder_comes_before_our_own(tmp_path, home):
    ours = put(home / ".cache/dva/models" / CHECKPOINT.place)
    assert places.find(CHECKPOINT, [tmp_path]) == ours
    comfyuis = put(tmp_path / CHECKPOINT.place)
    assert places.find(CHECKPOINT, [tmp_path]) == comfyuis


def test_files_are_found_where_other_node_packs_and_the_libraries_keep_them(tmp_path, home):
    assert places.find(DETECTOR, [tmp_path]) is None
    other_pack = put(tmp_path / "facedetection" / "detection_Resnet50_Final.pth")
    assert places.find(DETECTOR, [tmp_path]) == other_pack
    for file in PACK.contents:
        put(home / ".insightface/models/buffalo_s" / file.name)
    assert places.find(PACK) == home / ".insightface/models/buffalo_s"
    clip = put(home / ".cache/clip/ViT-B-16.pt")
    assert places.find(weight("openclip-vit-b-16-openai")) == clip


def test_facexlibs_own_folder_is_found_without_importing_it(tmp_path, monkeypatch):
    put(tmp_path / "facexlib/__init__.py", b"raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "facexlib", raising=False)
    inside = put(tmp_path / "facexlib/weights/detection_Resnet50_Final.pth")
    assert places.find(DETECTOR) == inside


def test_a_pack_that_lacks_a_file_and_a_folder_instead_of_a_file_are_not_there(tmp_path):
    put(tmp_path / PACK.place / "det_500m.onnx")
    (tmp_path / CHECKPOINT.place).mkdir(parents=True)
    assert places.find(PACK, [tmp_path]) is None
    with pytest.raises(DvaError, match=r"\(where w600k_mbf.onnx, 1k3d68.onnx, .* is missing now\)\.$"):
        places.require(PACK.name, [tmp_path])
    with pytest.raises(DvaError, match=r"\(where there is a folder now; move it away\)\.$"):
        places.require(CHECKPOINT.name, [tmp_path])


def test_a_missing_file_is_asked_for_with_all_that_is_needed_to_get_it(tmp_path):
    with pytest.raises(DvaError) as raised:
        places.require("dva-checkpoint", [tmp_path], "Converting")
    message = str(raised.value)
    assert message.startswith("Converting needs the weight file dva-checkpoint (the published model: ")
    for needed in (
        "commercial use: unclear",
        "`dva models get dva-checkpoint`",
        "https://drive.google.com/file/d/1Q6z7Wmo9xve5SgfDJExohpDSSNi4QxcH/view",
        str(tmp_path / "dva" / "diffusion_video_autoencoder.ckpt"),
    ):
        assert needed in message


# --- the hashes ---


def test_a_file_without_a_published_hash_is_recorded_on_first_use(tmp_path):
    path = put(tmp_path / CHECKPOINT.place)
    assert ledger.state(path, None, [tmp_path]) == "unchecked"
    assert places.require(CHECKPOINT.name, [tmp_path]) == path
    assert ledger.state(path, None, [tmp_path]) == "recorded"
    entry = json.loads((tmp_path / "hashes.json").read_text())["dva/diffusion_video_autoencoder.ckpt"]
    assert entry["sha256"] == hashlib.sha256(WEIGHTS_OF_PYTORCH).hexdigest() and entry["size"] == 9


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dva-checkpoint", b"", "an empty file"),
        ("dva-checkpoint", b"<html>", "a web page"),
        ("dva-checkpoint", b"PK\x03\x04", r"a damaged zip \(File is not a zip file\)"),
        ("dva-latent-statistics", b'{"error":"quota exceeded"}', r"a message \(JSON\)"),
        ("facexlib-fan", b"Not Found", "a file that is no checkpoint of PyTorch"),
    ],
)
def test_of_what_no_weight_file_can_be_no_hash_is_recorded(tmp_path, name, content, said):
    put(tmp_path / weight(name).place, content)
    with pytest.raises(ledger.WrongHash, match=rf" is {said}; get it again with `dva models get {name}`\.$"):
        places.require(name, [tmp_path])
    assert not (tmp_path / "hashes.json").exists()


def test_the_first_bytes_of_safetensors_may_look_like_anything(tmp_path):
    for start in (b"<", b"{"):
        assert implausible(put(tmp_path / "a.safetensors", start + bytes(7) + b"{}")) == ""
    assert implausible(put(tmp_path / "a.safetensors", b"<!doctype html>")) == "a web page"
    assert implausible(put(tmp_path / "a.safetensors", b"Not Found")) == "a file that is no safetensors file"


def test_an_unchanged_file_is_not_read_again(tmp_path):
    path, stages = put(tmp_path / "a.pth"), []

    def heard(stage, done, total):
        stages.append(stage)

    for again in (False, False, True):
        ledger.check(path, None, [tmp_path], again, heard)
    assert stages == ["checking (MB)", "checking (MB)"]


def test_a_file_that_was_only_touched_is_still_right(tmp_path):
    path = put(tmp_path / CHECKPOINT.place)
    places.require(CHECKPOINT.name, [tmp_path])
    os.utime(path, (1, 1))
    assert ledger.state(path, None, [tmp_path]) == "changed"
    places.require(CHECKPOINT.name, [tmp_path])
    assert ledger.state(path, None, [tmp_path]) == "recorded"


def test_a_changed_file_is_refused_with_both_hashes_and_what_to_do(tmp_path):
    path = put(tmp_path / CHECKPOINT.place)
    places.require(CHECKPOINT.name, [tmp_path])
    put(path, b"\x80\x02something else")
    before, after = (hashlib.sha256(content).hexdigest() for content in (WEIGHTS_OF_PYTORCH, path.read_bytes()))
    with pytest.raises(ledger.WrongHash) as raised:
        places.require(CHECKPOINT.name, [tmp_path])
    assert str(raised.value) == (
        f"{path} has the SHA-256 {after}, but {before} was recorded on first use: it is damaged or another file; get "
        "it again with `dva models get dva-checkpoint`; or, if you changed it yourself, run `dva models verify "
        "--accept dva-checkpoint`."
    )


def test_a_published_hash_counts_from_the_first_use_on(tmp_path):
    put(tmp_path / DETECTOR.place)
    with pytest.raises(DvaError, match=r"6d1de9c2\w+ was published: .* get facexlib-retinaface-resnet50`\.$"):
        places.require(DETECTOR.name, [tmp_path])
    assert not (tmp_path / "hashes.json").exists()


def test_the_published_hashes_of_a_packs_files_count_too(tmp_path):
    for file in PACK.contents:
        put(tmp_path / PACK.place / file.name)
    with pytest.raises(DvaError, match=r"det_500m\.onnx has the SHA-256"):
        places.require(PACK.name, [tmp_path])


def test_a_library_s_file_is_recorded_in_our_own_folder(home):
    path = put(home / ".cache/clip/a.pt")
    wanted = WeightFile("a", "", "", "yes", "", "https://x", "clip/a.pt", also=("~/.cache/clip/a.pt",))
    places.check(wanted, path)
    assert list(json.loads((places.models_folder() / "hashes.json").read_text())) == [path.as_posix()]
    assert ledger.state(path, None, places.ledgers(path)) == "recorded"


def test_where_no_ledger_can_be_written_the_next_folder_serves_or_one_sentence_says_so(tmp_path):
    path, own = put(tmp_path / "a.pth"), tmp_path / "own"
    # A folder in place of the file cannot be replaced by it, even by root.
    (tmp_path / "blocked" / "hashes.json").mkdir(parents=True)
    with pytest.raises(DvaError, match=r"hashes\.json, the list of hashes, cannot be read"):
        ledger.check(path, None, [tmp_path / "blocked"])
    not_a_folder = put(tmp_path / "file")
    ledger.check(path, None, [not_a_folder, own])
    assert (own / "hashes.json").is_file()
    with pytest.raises(DvaError, match=r"cannot be recorded in .*file/hashes\.json \(.*\); make that folder writable"):
        ledger.check(path, None, [not_a_folder])


@pytest.mark.parametrize("damaged", ["{", "[]", '{"a.pth": 3}', '{"a.pth": {"sha256": 1, "size": 2, "mtime_ns": 3}}'])
def test_a_damaged_ledger_is_one_clear_sentence(tmp_path, damaged):
    path = put(tmp_path / "a.pth")
    (tmp_path / "hashes.json").write_text(damaged)
    with pytest.raises(DvaError, match=r"hashes\.json, the list of hashes, is damaged; put back a copy, or delete it"):
        ledger.check(path, None, [tmp_path])
    assert (tmp_path / "hashes.json").read_text() == damaged


def test_an_unreadable_file_is_one_clear_sentence(tmp_path):
    with pytest.raises(DvaError, match=r"a\.pth cannot be read \(Is a directory\)"):
        (tmp_path / "a.pth").mkdir()
        ledger.check(tmp_path / "a.pth", None, [tmp_path])
