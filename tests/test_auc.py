"""How well attributes are told: the number, and the picture beside it."""

import itertools

import numpy as np
import pytest
import torch

from dva_core.errors import DvaError
from dva_core.evaluation.auc import LinearClassifier, attribute_aucs, auc
from dva_core.evaluation.auc_plot import BAR, LEFT_OUT, MARK, auc_picture

from .sentences import one_sentence


def classifier(names: tuple[str, ...]) -> LinearClassifier:
    """Looks at the first feature for the first attribute, at the second for the second and so on."""
    return LinearClassifier(
        names, torch.eye(512)[: len(names)], torch.zeros(len(names)), torch.zeros(512), torch.ones(512)
    )


@pytest.mark.parametrize(
    ("scores", "expected"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([5, 5, 5, 5], 0.5), ([1, 3, 2, 4], 0.75)]
)
def test_the_auc_is_the_chance_of_being_ranked_rightly(scores, expected):
    assert auc(np.array(scores), np.array([False, False, True, True])) == expected


def test_the_auc_counts_pairs_and_half_of_the_ties():
    rng = np.random.default_rng(0)
    scores, has = rng.integers(0, 6, 40), rng.random(40) < 0.4
    pairs = list(itertools.product(scores[has], scores[~has]))
    assert auc(scores, has) == pytest.approx(sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs))


def test_one_class_alone_has_no_auc():
    assert np.isnan(auc(np.arange(3), np.ones(3, bool)))


def test_each_attribute_is_measured_by_its_own_logit():
    features = torch.zeros(4, 512)
    features[:, 0], features[:, 1] = torch.tensor([1.0, 2, 3, 4]), torch.tensor([4.0, 3, 2, 1])
    labels = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]], bool)
    found = attribute_aucs(features, labels, classifier(("Eyeglasses", "Bangs", "Young")))
    assert found == {"Eyeglasses": 1.0, "Bangs": 0.0}, "whoever is young cannot be told when all are"


def test_the_normalisation_of_the_training_is_part_of_the_classifier():
    narrow = LinearClassifier(
        ("Bald",), torch.ones(1, 512), torch.ones(1), torch.full((512,), 2.0), torch.full((512,), 4.0)
    )
    assert narrow.logits(torch.full((1, 512), 6.0)).item() == pytest.approx(513)


def test_labels_that_do_not_fit_are_refused():
    with one_sentence("[4, 2]", "3 attributes"):
        attribute_aucs(torch.zeros(4, 512), np.ones((4, 2), bool), classifier(("Eyeglasses", "Bangs", "Young")))


def test_a_classifier_can_be_kept_in_a_file(tmp_path):
    path = tmp_path / "classifier.safetensors"
    saved = LinearClassifier(("Bald", "Young"), *(torch.randn(shape) for shape in ((2, 512), (2,), (512,), (512,))))
    saved.save(path)
    loaded = LinearClassifier.load(path)
    features = torch.randn(3, 512)
    assert loaded.names == saved.names and torch.equal(loaded.logits(features), saved.logits(features))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DvaError, match="damaged"):
        LinearClassifier.load(path)


def test_the_picture_ranks_the_attributes_and_its_bars_are_as_long_as_they_are_good():
    aucs = {"Bald": 0.75, "Young": 1.0, "Bangs": 0.3, "Blurry": 0.6}
    picture = np.asarray(auc_picture(aucs, "AUC", marks={"Bald": 0.9}, marks_name="other", left_out=["Blurry"]))

    def rows_of(colour):
        lengths = (picture == colour).all(-1).sum(1)
        return lengths[np.flatnonzero(lengths > 30)]

    lengths = rows_of(BAR)
    longest, middle = lengths[0], lengths[-1]
    assert middle == pytest.approx(longest / 2, abs=2), "0.75 is half of the way from chance to perfect; 0.3 has no bar"
    assert rows_of(LEFT_OUT).max() == pytest.approx(longest / 5, abs=2)
    assert (picture == MARK).all(-1).any()
