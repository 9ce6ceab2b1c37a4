"""CLIP from local files: checkpoints and configs that are refused, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dva_core.encoders.clip import load_clip
from dva_core.errors import DvaError

from .clip_files import (
    TINY_CLIP,
    bare_pickle,
    no_connections,
    pickle_in_a_state_dict,
    pickle_in_an_archive,
    tiny_clip_model,
    write_openai_archive,
    write_program_of_one_storage,
    write_tiny_clip,
)
from .sentences import one_sentence


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    with no_connections():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def checkpoints(folder: Path) -> tuple[Path, Path]:
    return write_tiny_clip(folder)


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    return write_openai_archive(folder / "ViT-tiny.pt")


def refusal(name: str | Path, checkpoint: str | Path) -> str:
    with pytest.raises(DvaError) as caught:
        load_clip(name, checkpoint)
    with one_sentence():
        raise caught.value
    return str(caught.value)


# Checkpoints that are refused


def test_a_missing_checkpoint(folder):
    assert refusal(TINY_CLIP, folder / "none.pt").startswith(f"There is no file {folder / 'none.pt'}")


def test_a_checkpoint_of_another_architecture_names_the_first_misfit(checkpoints):
    said = refusal("ViT-B/16", checkpoints[1])
    assert "does not hold the weights of ViT-B-16 (positional_embedding is [32, 8], not [77, 512])" in said


def test_a_checkpoint_with_weights_too_many_or_too_few_names_the_first(folder):
    weights = tiny_clip_model().state_dict()
    torch.save(weights | {"visual.extra": torch.zeros(1)}, folder / "many.pt")
    torch.save({key: weights[key] for key in weights if key != "ln_final.bias"}, folder / "few.pt")
    assert "visual.extra is not part of the model" in refusal(TINY_CLIP, folder / "many.pt")
    assert "ln_final.bias is missing" in refusal(TINY_CLIP, folder / "few.pt")


@pytest.mark.parametrize("which", [0, 1], ids=["pt", "safetensors"])
def test_a_truncated_checkpoint(folder, checkpoints, which):
    cut = folder / f"cut{checkpoints[which].suffix}"
    cut.write_bytes(checkpoints[which].read_bytes()[:20_000])
    assert "damaged" in refusal(TINY_CLIP, cut)


def test_a_damaged_archive_of_openai_s(folder, archive):
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (folder / "damaged.pt").write_bytes(damaged)
    assert "is damaged" in refusal(TINY_CLIP, folder / "damaged.pt")


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<!DOCTYPE html><title>Sign in</title>", "is a web page"),
        ("version https://git-lfs", "holds no weights"),
        ("", "is empty"),
    ],
)
def test_a_web_page_or_text_in_place_of_weights(folder, content, said, ending):
    (folder / f"page{ending}").write_text(content)
    assert said in refusal(TINY_CLIP, folder / f"page{ending}")


def test_a_file_of_tensors_without_names(folder):
    torch.save([torch.zeros(2)], folder / "list.pt")
    assert "holds no weights (no tensors" in refusal(TINY_CLIP, folder / "list.pt")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (bare_pickle, "neither a checkpoint of PyTorch nor safetensors"),
        (pickle_in_a_state_dict, "mkdir, which a checkpoint does not need"),
        (pickle_in_an_archive, "asks for more than weights"),
    ],
)
def test_a_malicious_pickle_is_refused_without_being_run(tmp_path, write, said):
    write(tmp_path / "weights.pt", makes=tmp_path / "marker")
    assert said in refusal(TINY_CLIP, tmp_path / "weights.pt")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t * torch.nan, "not finite"),
        (lambda t: t.long(), "int64, not float32"),
        (lambda t: t.to(torch.complex64), "another form than dense real numbers"),
        (lambda t: t.to("meta"), "another form than dense real numbers"),
        (lambda t: t.to_sparse(), "another form than dense real numbers"),
    ],
    ids=["nan", "whole", "complex", "meta", "sparse"],
)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_weights_that_are_no_plain_numbers(folder, change, said):
    weights = tiny_clip_model().state_dict()
    torch.save(weights | {"ln_final.bias": change(weights["ln_final.bias"])}, folder / "changed.pt")
    message = refusal(TINY_CLIP, folder / "changed.pt")
    assert "ln_final.bias" in message and said in message


def test_a_name_that_no_file_can_have():
    with pytest.raises(DvaError, match="There is no file aaa"):
        load_clip(TINY_CLIP, "a" * 5000)


def test_a_program_that_unpacks_to_much_more_than_it_is(folder):
    path = write_program_of_one_storage(folder / "bomb.pt", names=("a",), padding=2_000_000)
    assert "could fill the memory" in refusal(TINY_CLIP, path)


# Architectures that are refused


def test_a_model_larger_than_its_file_is_refused_before_memory_is_spent(folder, checkpoints):
    config = json.loads(TINY_CLIP.read_text())
    config["text_cfg"] |= {"context_length": 10**7, "vocab_size": 10**12}
    assert "positional_embedding is [32, 8]" in refusal(written(folder, config), checkpoints[0])


@pytest.mark.parametrize("setting", ["trust_remote_code", "cache_dir", "use_fast", "bpe_path", "revision"])
@pytest.mark.parametrize("tokenizer", ["own", "of a folder"])
def test_a_config_whose_tokenizer_settings_could_run_code(folder, checkpoints, setting, tokenizer):
    config = json.loads(TINY_CLIP.read_text())
    config["text_cfg"]["tokenizer_kwargs"] = {"clean": "lower", setting: True}
    if tokenizer == "of a folder":
        config["text_cfg"]["hf_tokenizer_name"] = str(folder)
    said = refusal(written(folder, config), checkpoints[0])
    assert f"gives its tokenizer '{setting}'" in said and "can run code" in said


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("part", ["hf_tokenizer_name", "hf_model_name"])
def test_a_folder_that_brings_code(folder, checkpoints, tmp_path, file, part):
    (tmp_path / file).write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    config = json.loads(TINY_CLIP.read_text())
    config["text_cfg"][part] = str(tmp_path)
    assert f"{file} asks for Python code" in refusal(written(folder, config), checkpoints[0])
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("colours", [[0, 0, 0], [1, 1], [1, 1, "1"], [1, 1, float("nan")], 1, None])
def test_a_config_that_normalises_pictures_by_what_it_cannot(folder, checkpoints, colours):
    config = {"model_cfg": json.loads(TINY_CLIP.read_text()), "preprocess_cfg": {"std": colours}}
    assert str(colours) in refusal(written(folder, config), checkpoints[0])


def test_an_unknown_architecture_lists_near_names(checkpoints):
    said = refusal("ViT-B-61", checkpoints[0])
    assert "'ViT-B-61'" in said
    assert "ViT-B-16" in said


def test_a_name_that_open_clip_would_look_for_on_the_net_is_unknown(checkpoints):
    assert "knows no architecture" in refusal("hf-hub:timm/ViT-B-16-SigLIP", checkpoints[0])


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP", "roberta-ViT-B-32"])
def test_an_architecture_whose_tokenizer_or_tower_is_not_on_this_disk(checkpoints, name):
    assert "from Hugging Face, which is no folder on this disk" in refusal(name, checkpoints[0])


def test_a_config_that_would_fetch_its_vision_tower(folder, checkpoints):
    config = json.loads(TINY_CLIP.read_text())
    config["vision_cfg"] = {"timm_model_name": "hf-hub:timm/vit_tiny", "timm_model_pretrained": True}
    assert "hf-hub:timm/vit_tiny" in refusal(written(folder, config), checkpoints[0])


def test_a_missing_config(folder, checkpoints):
    assert "none.json cannot be read (No such file" in refusal(folder / "none.json", checkpoints[0])


@pytest.mark.parametrize("content", ["", "{", "<html>", "[" * 200_000], ids=["empty", "cut", "page", "deep"])
def test_a_config_that_is_broken_json(folder, checkpoints, content):
    (folder / "broken.json").write_text(content)
    assert "broken.json is broken JSON" in refusal(folder / "broken.json", checkpoints[0])


@pytest.mark.parametrize("field", ["embed_dim", "vision_cfg", "text_cfg"])
def test_a_config_that_lacks_a_field(folder, checkpoints, field):
    config = json.loads(TINY_CLIP.read_text())
    del config[field]
    assert f"has no {field} as" in refusal(written(folder, config), checkpoints[0])


@pytest.mark.parametrize("config", [[], 3, {"model_cfg": []}, {"model_cfg": None}])
def test_a_config_that_is_no_description_of_a_model(folder, checkpoints, config):
    assert "has no embed_dim as" in refusal(written(folder, config), checkpoints[0])


@pytest.mark.parametrize("wrong", [{"patch_size": 0}, {"depth": 3}, {"width": "wide"}, {"timm_model_name": "no_such"}])
def test_a_config_that_open_clip_cannot_build(folder, checkpoints, wrong):
    config = json.loads(TINY_CLIP.read_text())
    config["vision_cfg"] |= wrong
    assert "cannot build" in refusal(written(folder, config), checkpoints[0])


def written(folder: Path, config: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"
