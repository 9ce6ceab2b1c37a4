"""Captions: what can be said of a rendered person is true, and is said in many ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dva_core.synthetic import TRAIN_SEEDS, Person, sample_person
from dva_core.synthetic.captions import (
    FACTS,
    Saying,
    Style,
    all_words,
    caption,
    facts_of,
    random_context,
    random_saying,
    random_style,
)

EVERYBODY = [sample_person(seed) for seed in TRAIN_SEEDS[:60]]


def plain_person(**changes: object) -> Person:
    """Somebody without anything to speak of, with `changes`."""
    flags = (name for name, value in vars(EVERYBODY[0]).items() if isinstance(value, bool))
    plain = dict.fromkeys(flags, False) | {"beard": "none", "hair_color": "brown", "hair_length": 0.2}
    return replace(EVERYBODY[0], **(plain | changes))


def held(person: Person) -> set[str]:
    return {fact for fact, holds in facts_of(person).items() if holds}


def test_somebody_plain_has_brown_hair_and_nothing_else():
    assert held(plain_person()) == {"brown hair"}


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"eyeglasses": True}, {"glasses", "brown hair"}),
        ({"hat": True}, {"hat", "brown hair"}),
        ({"beard": "full"}, {"beard", "facial hair", "brown hair"}),
        ({"beard": "goatee"}, {"goatee", "facial hair", "brown hair"}),
        ({"beard": "stubble"}, {"stubble", "facial hair", "brown hair"}),
        ({"hair_color": "blond", "hair_length": 1.0}, {"blond hair", "long hair"}),
        ({"old": True, "earrings": True}, {"old", "earrings", "brown hair"}),
    ],
)
def test_what_is_changed_is_what_holds(changes, facts):
    assert held(plain_person(**changes)) == facts


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"hat": True, "bald": True}, "bald"),
        ({"hat": True, "bangs": True}, "bangs"),
        ({"bald": True, "hair_color": "gray"}, "gray hair"),
        ({"hair_length": 1.0, "earrings": True}, "earrings"),
        ({"beard": "goatee"}, "beard"),
    ],
)
def test_what_cannot_be_seen_or_is_a_matter_of_taste_is_open(changes, fact):
    assert facts_of(plain_person(**changes))[fact] is None


def test_all_people_are_asked_the_same_questions():
    assert {tuple(facts_of(person)) for person in EVERYBODY} == {FACTS}


def test_everything_that_is_said_is_true_and_nothing_is_said_twice():
    rng = np.random.default_rng(0)
    lengths = set()
    for person in EVERYBODY:
        facts = facts_of(person)
        sayings = random_context(facts, 4, rng)
        claims = [claim for saying in sayings for claim in saying.claims]
        assert all(facts[fact] is holds for fact, holds in claims)
        assert len({fact for fact, _ in claims}) == len(claims)
        lengths.add(len(sayings))
    assert lengths == {4}


def test_what_is_barred_is_not_spoken_of_nor_what_goes_with_it():
    facts = facts_of(plain_person(beard="goatee", eyeglasses=True))
    for seed in range(40):
        sayings = random_context(facts, 20, np.random.default_rng(seed), without=("mustache",))
        spoken = {fact for saying in sayings for fact, _ in saying.claims}
        assert "glasses" in spoken and not spoken & {"goatee", "facial hair", "stubble", "mustache", "beard"}


def test_a_fact_has_several_names_and_its_absence_others():
    rng = np.random.default_rng(0)

    def words(fact: str, holds: bool) -> set[str]:
        return {random_saying(fact, holds, rng).words for _ in range(400)}

    assert {"glasses", "eyeglasses", "spectacles"} <= words("glasses", True)
    assert {"a mustache", "a moustache"} <= words("mustache", True)
    assert {"gray hair", "grey hair"} <= words("gray hair", True)
    assert {"blond hair", "blonde hair"} <= words("blond hair", True)
    assert {"a hat", "a cap"} <= words("hat", True)
    assert {"bangs", "a fringe"} <= words("bangs", True)
    assert {"young"} <= words("old", False)
    assert {"clean-shaven"} <= words("facial hair", False)
    assert random_saying("gray hair", False, rng) is None, "nobody says so"


GLASSES = Saying((("glasses", True),), "wearing", "glasses")
NO_HAT = Saying((("hat", False),), "without", "a hat")
OLD = Saying((("old", True),), "adjective", "old")
GRAY_BEARD = Saying((("beard", True), ("gray hair", True)), "with", "a gray beard")
EARRINGS = Saying((("earrings", True),), "with", "earrings")


@pytest.mark.parametrize(
    ("sayings", "style", "text"),
    [
        ((), Style(), "face"),
        ((), Style(form="bare"), "face"),
        ((), Style(noun="person", article="a", form="sentence"), "a person"),
        ((GLASSES,), Style(), "face wearing glasses"),
        ((GLASSES,), Style(form="bare"), "glasses"),
        ((NO_HAT,), Style(form="bare"), "no hat"),
        ((OLD,), Style(form="bare", article="a"), "an old face"),
        ((OLD, GRAY_BEARD), Style(noun="man", article="the"), "the old man with a gray beard"),
        (
            (GRAY_BEARD, NO_HAT, EARRINGS, GLASSES, OLD),
            Style(template="a photo of a {}."),
            "a photo of a old face with a gray beard and earrings wearing glasses without a hat.",
        ),
        (
            (OLD, GLASSES, GRAY_BEARD, NO_HAT),
            Style(noun="person", article="a", form="sentence"),
            "this person is old, has a gray beard, wears glasses and has no hat.",
        ),
    ],
)
def test_sayings_become_one_text(sayings, style, text):
    assert caption(sayings, style) == text


def test_styles_vary_and_keep_to_the_templates():
    rng = np.random.default_rng(0)
    styles = [random_style(rng, ("a photo of a {}.",)) for _ in range(300)]
    assert {style.form for style in styles} == {"phrase", "sentence", "bare"}
    assert {style.template for style in styles} == {"{}", "{}.", "a photo of a {}."}
    assert len({style.noun for style in styles}) > 8
    assert all(style.template != "a photo of a {}." for style in styles if style.form == "sentence")


def test_all_words_of_captions_are_listed():
    known = set(" ".join(all_words()).replace(",", " ").split())
    rng = np.random.default_rng(0)
    for person in EVERYBODY * 5:
        text = caption(random_context(facts_of(person), 4, rng), random_style(rng))
        assert set(text.replace(",", " ").replace(".", " ").split()) <= known, text
