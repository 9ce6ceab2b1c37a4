"""`dva train attributes`: from people whose attributes are known to a model whose edits go their way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity, normalize

from dva_core import tensorfile
from dva_core.cli.train_attributes import add_train_attributes
from dva_core.editing.attributes import CELEBA_ATTRIBUTES, AttributeDirections, edit_identity
from dva_core.errors import Cancelled
from dva_core.evaluation.auc import LinearClassifier, attribute_aucs
from dva_core.training.attribute_bundle import check_target, keep_reach, put_attributes
from dva_core.training.attributes import (
    AttributeTraining,
    ClassifierFitting,
    split,
    train_attribute_classifier,
    train_attributes,
)
from dva_core.training.directions import LabelledFeatures, class_mean_directions, classifier_directions, cosines_with
from dva_core.training.encoded import VIEWS, encode_rendered, true_shifts
from dva_core.values import Identity
from dva_core.weights.bundle import KIND, SHIPPED, about_model, load_model, save_bundle

from .sentences import one_sentence
from .tiny_model import tiny_model

NAMES = ("Eyeglasses", "Bangs", "Bald", "Young")
QUICK = AttributeTraining(fitting=ClassifierFitting(steps=400))


def known_people(people: int = 200, views: int = 2) -> LabelledFeatures:
    """People in whom glasses move features 0 to 79, and bangs 80 to 159; two are bald; who is young cannot be seen."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(people, 4, generator=generator) < 0.5
    labels[:, 2] = torch.arange(people) < 2
    who = torch.randn(people, 512, generator=generator)
    who[:, :80] += 1.5 * labels[:, :1]
    who[:, 80:160] += 1.5 * labels[:, 1:2]
    person = torch.arange(people).repeat_interleave(views)
    features = 0.05 * (who[person] + 0.3 * torch.randn(len(person), 512, generator=generator))
    return LabelledFeatures(features, person, labels, NAMES)


@pytest.fixture(scope="module")
def known() -> LabelledFeatures:
    return known_people()


@pytest.fixture(scope="module")
def trained(known):
    return train_attributes(known, QUICK)


@pytest.fixture
def bundle(tmp_path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_bundle(tiny_model(), path, {"steps": 3, "calibration": {"Bald": 1}}, "MIT", "made by a test")
    return path


def test_nobody_is_both_trained_on_and_measured_on():
    people = known_people(50)
    people.features[:] = people.person[:, None]  # so that it can be seen who is who
    training, held_out = split(people, 0.2, seed=0)
    seen, unseen = (set(part.features[:, 0].int().tolist()) for part in (training, held_out))
    assert len(unseen) == 10 and seen | unseen == set(range(50)) and not seen & unseen
    for part in (training, held_out):
        assert torch.equal(part.labels[part.person], people.labels[part.features[:, 0].long()])
        assert torch.equal(part.people[part.person], part.features)
    assert set(split(people, 0.2, seed=1)[1].features[:, 0].int().tolist()) != unseen


def test_the_classifier_tells_what_can_be_seen(known):
    training, held_out = split(known, 0.3, seed=0)
    classifier = train_attribute_classifier(training, ClassifierFitting(steps=600))
    found = attribute_aucs(held_out.people, held_out.labels, classifier)
    assert found["Eyeglasses"] > 0.97 and found["Bangs"] > 0.97
    assert 0.3 < found["Young"] < 0.7
    right = (classifier.logits(held_out.people)[:, :2] > 0) == held_out.labels[:, :2]
    assert right.float().mean() > 0.9, "the bias fits too"


def test_the_same_data_give_the_same_classifier(known):
    first, again = (train_attribute_classifier(known, ClassifierFitting(steps=20)) for _ in range(2))
    other = train_attribute_classifier(known, ClassifierFitting(steps=20, seed=1))
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)


def test_training_can_be_stopped(known):
    with pytest.raises(Cancelled):
        train_attribute_classifier(known, cancelled=lambda: True)


@pytest.mark.parametrize("kind", ["means", "classifier"])
def test_directions_point_from_people_without_to_people_with(known, kind):
    table = train_attributes(known, AttributeTraining(kind, ClassifierFitting(steps=400))).table
    for name, truth in (("Eyeglasses", slice(0, 80)), ("Bangs", slice(80, 160))):
        shift = torch.zeros(512)
        shift[truth] = 1
        assert cosines_with(table, {name: shift})[name] > 0.7
        has = known.labels[:, NAMES.index(name)]
        along = normalize(table.weight[table.row(name)], dim=0)
        place = (known.people - table.mean) / table.std @ along
        row = table.row(name)
        # Nearly, as a fifth of these people were held out.
        assert place[has].mean() == pytest.approx(float(table.midpoint[row] + table.half_distance[row]), abs=0.5)
        assert place[~has].mean() == pytest.approx(float(table.midpoint[row] - table.half_distance[row]), abs=0.5)


def test_an_edit_along_class_means_ends_at_the_mean_of_those_with_it(known):
    table = class_mean_directions(known)
    edited = edit_identity(Identity(known.people[:1], "x"), table, {"Eyeglasses": 1.0})
    along = normalize(table.weight[table.row("Eyeglasses")], dim=0)
    place = ((edited.features - table.mean) / table.std) @ along
    ideal = ((known.people[known.labels[:, 0]] - table.mean) / table.std @ along).mean()
    assert float(place) == pytest.approx(float(ideal), abs=1e-3)


def test_an_edit_along_a_weight_is_as_long_as_the_way_between_the_classes(known):
    classifier = train_attribute_classifier(known, ClassifierFitting(steps=400))
    table = classifier_directions(known, classifier)
    scaled = (known.people - table.mean) / table.std
    on, off = (scaled[known.labels[:, 0] == side].mean(0) for side in (True, False))
    start = Identity((off * table.std + table.mean)[None], "x")
    moved = (edit_identity(start, table, {"Eyeglasses": 1.0}).features - start.features) / table.std
    assert float(moved.norm()) == pytest.approx(float((on - off).norm()), rel=1e-3)
    assert cosine_similarity(moved[0], classifier.weight[0], dim=0) > 0.999


def test_what_has_too_few_examples_or_cannot_be_told_is_left_out_and_listed(trained):
    assert trained.table.names == ("Bangs", "Eyeglasses")
    assert trained.classifier.names == ("Eyeglasses", "Bangs", "Young")
    untrained = trained.report["untrained"]
    assert untrained["Bald"] == "2 with it and 198 without it are too few"
    assert "AUC" in untrained["Young"] and set(untrained) == {"Bald", "Young"}
    assert not trained.report["attributes"]["Young"]["trained"]


def test_the_report_says_what_was_measured_and_can_be_written(trained):
    report = json.loads(json.dumps(trained.report, allow_nan=False))
    assert report["people"] == {"training": 160, "held_out": 40}
    aucs = {name: found["auc"] for name, found in report["attributes"].items()}
    assert report["mean_auc"] == pytest.approx((aucs["Eyeglasses"] + aucs["Bangs"]) / 2)
    assert report["mean_auc_of_all"] == pytest.approx(sum(aucs.values()) / 3)
    assert (
        min(report["attributes"]["Bangs"][f"auc{which}"] for which in ("_of_single_pictures", "_of_class_means")) > 0.9
    )


def test_both_kinds_of_directions_are_compared_with_the_true_shift(known):
    shifts = {name: torch.zeros(512) for name in NAMES}
    shifts["Eyeglasses"][:80] = 1
    report = train_attributes(known, QUICK, shifts).report
    found = report["attributes"]["Eyeglasses"]
    assert found["cosine_with_truth_of_means"] > 0.7 and found["cosine_with_truth_of_classifier"] > 0.7


def test_data_that_teach_nothing_are_told(known):
    with one_sentence("No attribute has examples enough", "Eyeglasses", "too few"):
        train_attributes(known.of(torch.arange(6)), QUICK)
    with one_sentence("None of 1 attributes", "AUC", "labels and pictures"):
        train_attributes(known.about(["Young"]), AttributeTraining(fitting=QUICK.fitting, least_auc=0.9))


def test_a_bundle_gets_another_table_and_nothing_else(tmp_path, bundle, trained):
    out = tmp_path / "mine.safetensors"
    put_attributes(bundle, trained.table, out, trained.report, "200 people")
    model, about = load_model(out), about_model(out)
    assert model.attributes.names == trained.table.names and model.attributes.reach_known
    torch.testing.assert_close(model.attributes.weight, trained.table.weight, rtol=1e-3, atol=1e-4)
    before, after = (tensorfile.read(path, KIND) for path in (bundle, out))
    assert before[1].keys() == after[1].keys()
    for name, tensor in before[1].items():
        if not name.startswith("attributes."):
            assert torch.equal(tensor, after[1][name]) and tensor.dtype == after[1][name].dtype
    assert before[0]["config"] == after[0]["config"] and about["licence"] == "MIT"
    assert about["summary"]["steps"] == 3 and about["summary"]["attributes"]["mean_auc"] == trained.report["mean_auc"]
    assert "calibration" not in about["summary"], "it was about the former table"
    put_attributes(out, trained.table, out, trained.report, "300 people")
    said = about_model(out)["provenance"]
    assert said.startswith("made by a test") and said.endswith("from 300 people") and "200" not in said


def test_edits_end_where_they_did_if_the_direction_is_about_the_same(trained, known):
    given, table = AttributeDirections(), AttributeDirections()
    table.load_state_dict(trained.table.state_dict())
    given.std.fill_(2.0)
    for name, way in (("Eyeglasses", 1.0), ("Bangs", -1.0)):
        row = CELEBA_ATTRIBUTES.index(name)
        given.weight[row] = way * table.weight[row] * table.std / 2
        given.trained[row] = True
        given.midpoint[row], given.half_distance[row], given.strength[row] = 0.03, 0.1, 2.5
    assert keep_reach(table, given) == ("Eyeglasses",)
    assert table.strength[table.row("Bangs")] == 1
    someone, along = Identity(known.people[:1], "x"), normalize(given.weight[given.row("Eyeglasses")], dim=0)
    middle = edit_identity(Identity(table.mean[None], "x"), table, {"Eyeglasses": 1.0}).features
    assert float((middle - given.mean) / given.std @ along) == pytest.approx(0.03 + 2.5 * 0.1, abs=1e-4)
    one, other = (edit_identity(someone, table, {"Eyeglasses": scale}).features for scale in (1.0, -1.0))
    assert float((one - other) / given.std @ along) == pytest.approx(2 * 2.5 * 0.1, abs=1e-4)


def test_neither_the_model_itself_nor_a_shipped_one_is_replaced_unasked(tmp_path, bundle):
    with one_sentence(str(bundle), "--overwrite"):
        check_target(bundle, bundle)
    with one_sentence("demo.safetensors", "--overwrite"):
        check_target(bundle, SHIPPED / "demo.safetensors")
    check_target(bundle, bundle, overwrite=True)
    with one_sentence(".safetensors", "mine.ckpt"):
        check_target(bundle, tmp_path / "mine.ckpt")
    (tmp_path / "folder.safetensors").mkdir()
    with one_sentence("folder.safetensors is a folder"):
        check_target(bundle, tmp_path / "folder.safetensors")


def test_rendered_people_are_encoded_with_their_attributes():
    model, done = tiny_model(), []
    known = encode_rendered(model, 10, lambda stage, count, total: done.append((count, total)))
    assert done[-1] == (10, 10)
    assert known.features.shape == (10 * VIEWS, 512) and torch.bincount(known.person).tolist() == [VIEWS] * 10
    assert known.labels.shape == (10, len(known.names)) and "Eyeglasses" in known.names
    with one_sentence("At most", "20000"):
        encode_rendered(model, 20_000)


def test_true_shifts_are_the_way_to_the_same_person_with_the_attribute():
    """A net of random weights sees a hat well enough: with it, features lie farther along the shift."""
    model = tiny_model()
    shifts = true_shifts(model, ["Wearing_Hat", "Eyeglasses"], pairs=12)
    known = encode_rendered(model, 40)
    place = known.people @ normalize(shifts["Wearing_Hat"], dim=0)
    has = known.labels[:, known.names.index("Wearing_Hat")]
    assert place[has].mean() > place[~has].mean()
    assert cosine_similarity(shifts["Wearing_Hat"], shifts["Eyeglasses"], dim=0) < 0.9


def run(*arguments: str) -> int:
    """The command alone, told as `dva` tells it."""
    import argparse

    parser = argparse.ArgumentParser()
    add_train_attributes(parser.add_subparsers())
    options = parser.parse_args(["attributes", "--device", "cpu", *map(str, arguments)])
    return options.run(options)


@pytest.fixture
def celeba(tmp_path) -> tuple[Path, Path]:
    """60 pictures, of which those with hats are brighter, and their labels."""
    folder, rng = tmp_path / "faces", np.random.default_rng(0)
    folder.mkdir()
    lines = ["60", "Wearing_Hat Bald"]
    for number in range(60):
        hat = number % 2 == 0
        pixels = rng.integers(0, 60, (24, 24, 3)) + (150 if hat else 20)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.jpg {1 if hat else -1} -1")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(lines) + "\n")
    return folder, labels


def test_the_command_makes_a_model_from_labelled_pictures(tmp_path, bundle, celeba, capsys):
    folder, labels = celeba
    out = tmp_path / "mine.safetensors"
    run("--images", folder, "--labels", labels, "--model", bundle, "--out", out, "--steps", 300)
    assert load_model(out).attributes.names == ("Wearing_Hat",)
    report = json.loads((tmp_path / "mine-report" / "report.json").read_text())
    assert report["directions"] == "classifier" and report["attributes"]["Wearing_Hat"]["auc"] > 0.9
    assert str(folder) in report["data"] and about_model(out)["summary"]["attributes"] == report
    assert Image.open(tmp_path / "mine-report" / "auc.png").width > 300
    assert LinearClassifier.load(tmp_path / "mine-report" / "classifier.safetensors").names == ("Wearing_Hat",)
    said = capsys.readouterr().out
    assert "Wearing_Hat" in said and "Bald is left out of the model: 0 with it" in said and str(out) in said


def test_the_command_makes_a_model_from_rendered_people(tmp_path, bundle, capsys):
    out = tmp_path / "mine.safetensors"
    more = ["--least-auc", "0", "--steps", "100", "--report", tmp_path / "report"]
    run("--rendered", 40, "--model", bundle, "--out", out, *more)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["directions"] == "means" and report["data"] == "40 rendered people"
    assert "Eyeglasses" in load_model(out).attributes.names
    assert -1 <= report["attributes"]["Eyeglasses"]["cosine_with_truth_of_means"] <= 1
    assert "truly move" in capsys.readouterr().out


def test_the_command_asks_for_what_it_needs_before_it_begins(tmp_path, bundle, celeba):
    folder, labels = celeba
    rest = ["--model", bundle, "--out", tmp_path / "mine.safetensors"]
    with one_sentence("--labels"):
        run("--images", folder, *rest)
    with one_sentence("Rendered faces need no labels"):
        run("--rendered", 40, "--labels", labels, *rest)
    with one_sentence("--overwrite"):
        run("--images", folder, "--labels", labels, "--model", bundle, "--out", bundle)
    labels.write_text("61" + labels.read_text()[2:] + "99.jpg 1 1\n")
    with one_sentence("1 of the 61 pictures", "99.jpg"):
        run("--images", folder, "--labels", labels, *rest)
    assert not (tmp_path / "mine.safetensors").exists() and not (tmp_path / "mine-report").exists()
