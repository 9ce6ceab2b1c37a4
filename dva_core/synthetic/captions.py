"""What can truly be said of a rendered person, and many ways of saying it: captions for training pictures.

A fact is true, false or open: hair under a hat has no colour that anybody could see, and whether a goatee is "a beard"
is a matter of taste. A caption names some facts, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .person import HAIR_COLORS, Person

_LONG_HAIR = 0.42
_SHORT_HAIR = 0.38


@dataclass(frozen=True)
class Saying:
    """Words that claim facts: `claims` are pairs of a fact and whether it holds.

    `slot` is where the words go: "adjective" before the noun, or after "with", "wearing" or "without".
    """

    claims: tuple[tuple[str, bool], ...]
    slot: str
    words: str


def facts_of(person: Person) -> dict[str, bool | None]:
    """Fact -> whether it holds, None where that is open or cannot be seen; the same names in the same order for all."""
    is_old, is_bald, has_hat, beard = person.old, person.bald, person.hat, person.beard
    shows_ears = is_bald or person.hair_length < _SHORT_HAIR
    has_long_hair = person.hair_length > _LONG_HAIR
    facts = {
        "glasses": person.eyeglasses,
        "hat": has_hat,
        "beard": {"full": True, "none": False}.get(beard),
        "facial hair": beard != "none",
        "goatee": None if beard == "full" else beard == "goatee",
        "mustache": None if beard in ("full", "goatee") else beard == "mustache",
        "stubble": beard == "stubble",
        **{f"{color} hair": None if is_bald else person.hair_color == color for color in HAIR_COLORS},
        "bald": None if has_hat else is_bald,
        "bangs": None if has_hat else person.bangs and not is_bald,
        "long hair": not is_bald and (has_long_hair if has_long_hair or shows_ears else None),
        "old": is_old,
        "pale": person.pale,
        "makeup": person.makeup,
        "lipstick": True if person.lipstick else None if person.makeup else False,
        "big nose": person.big_nose,
        "bushy eyebrows": person.bushy_eyebrows,
        "rosy cheeks": True if person.rosy_cheeks else None if person.makeup else False,
        "earrings": person.earrings if shows_ears else None,
    }
    assert tuple(facts) == FACTS
    return facts


FACTS = (
    "glasses", "hat", "beard", "facial hair", "goatee", "mustache", "stubble",
    *(f"{color} hair" for color in HAIR_COLORS), "bald", "bangs", "long hair", "old", "pale", "makeup", "lipstick",
    "big nose", "bushy eyebrows", "rosy cheeks", "earrings",
)  # fmt: skip
"""The names of the facts, in the order of `facts_of`."""


def random_saying(fact: str, holds: bool, rng: np.random.Generator) -> Saying | None:
    """One of the ways to say that a fact holds or does not; None where nobody would say it ("without gray hair")."""
    ways = _WAYS.get((fact, holds))
    if ways is None:
        return None
    slot = tuple(ways)[_weighted([len(words) ** 0.5 for words in ways.values()], rng)]
    return Saying(((fact, holds),), slot, str(rng.choice(ways[slot])))


def random_context(
    facts: Mapping[str, bool | None], count: int, rng: np.random.Generator, without: Sequence[str] = ()
) -> tuple[Saying, ...]:
    """Up to `count` true sayings about different things, none of them about the facts `without` or what goes with them.

    A fact that holds is said four times as often as one that does not.
    """
    barred = {_TOPICS.get(fact, fact) for fact in without}
    sayings = []
    names = list(facts)
    order = rng.exponential(1.0, len(names)) / np.array([4.0 if facts[name] else 1.0 for name in names])
    for index in np.argsort(order):
        fact, topic = names[index], _TOPICS.get(names[index], names[index])
        if len(sayings) == count:
            break
        if facts[fact] is None or topic in barred:
            continue
        saying = _colored_beard(fact, facts, barred, rng) or random_saying(fact, bool(facts[fact]), rng)
        if saying:
            sayings.append(saying)
            barred |= {_TOPICS.get(name, name) for name, _ in saying.claims}
    return tuple(sayings)


@dataclass(frozen=True)
class Style:
    """How a caption is built, apart from what it says: `noun` of the person, `article`, `template` with one {}, and
    `form`: "phrase", "sentence" or "bare" (what is said alone, without a person, where that can be)."""

    noun: str = "face"
    article: str = ""
    template: str = "{}"
    form: str = "phrase"


def random_style(rng: np.random.Generator, templates: Sequence[str] = ()) -> Style:
    """Half the captions go into one of `templates` (each with one {}), where there are any."""
    form = str(rng.choice(("phrase", "sentence", "bare"), p=(0.82, 0.10, 0.08)))
    noun = str(rng.choice(_NOUNS, p=_NOUN_WEIGHTS))
    is_in_template = bool(templates) and form != "sentence" and rng.random() < 0.5
    # People write "a face" into a template that already says "a".
    weights = (0.85, 0.1, 0.05) if is_in_template else (0.4, 0.5, 0.1)
    template = str(rng.choice(templates)) if is_in_template else str(rng.choice(("{}", "{}."), p=(0.8, 0.2)))
    return Style(noun, str(rng.choice(("", "a", "the"), p=weights)), template, form)


def caption(sayings: Sequence[Saying] = (), style: Style = Style()) -> str:
    """The sayings as one text, each slot in the given order: "a young person with glasses and a beard"."""
    slots = {slot: [say.words for say in sayings if say.slot == slot] for slot in ("adjective", *_AFTER_NOUN)}
    if style.form == "bare" and sayings and not slots["adjective"]:
        first, *rest = [slot for slot in _AFTER_NOUN if slots[slot]]
        opening = "no " + _bare(_listed(slots[first], "or")) if first == "without" else _listed(slots[first])
        return style.template.format(" ".join([opening, *(_clause(slot, slots[slot]) for slot in rest)]))
    if style.form == "sentence" and sayings:
        return _sentence(slots, style)
    described = " ".join([*slots["adjective"], style.noun])
    after = [_clause(slot, slots[slot]) for slot in _AFTER_NOUN if slots[slot]]
    return style.template.format(" ".join([*_articled(style.article, described), *after]))


def all_words() -> tuple[str, ...]:
    """Texts that hold, between them, every word of which captions are made but those of the templates."""
    colored = [f"an {word} beard" for words in _COLOR_WORDS.values() for word in words]
    said = [words for ways in _WAYS.values() for slot in ways.values() for words in slot]
    glue = "a an the this and or with wearing without no is has wears , ."
    return (*said, *colored, *_NOUNS, glue)


_AFTER_NOUN = ("with", "wearing", "without")


def _clause(slot: str, words: Sequence[str]) -> str:
    return f"{slot} {_listed(words, 'or' if slot == 'without' else 'and')}"


def _sentence(slots: Mapping[str, Sequence[str]], style: Style) -> str:
    parts = []
    if slots["adjective"]:
        parts.append("is " + _listed(slots["adjective"]))
    if slots["with"]:
        parts.append("has " + _listed(slots["with"]))
    if slots["wearing"]:
        parts.append("wears " + _listed(slots["wearing"]))
    if slots["without"]:
        parts.append("has no " + _bare(_listed(slots["without"], "or")))
    subject = f"the {style.noun}" if style.article != "a" else f"this {style.noun}"
    return f"{subject} {_listed(parts)}."


def _listed(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(", ".join(part) for part in (words[:-1], words[-1:]) if part)


def _articled(article: str, described: str) -> list[str]:
    if article == "a" and described[0] in "aeiou":
        article = "an"
    return [article, described] if article else [described]


def _bare(words: str) -> str:
    """ "a beard" after "no"."""
    return words.removeprefix("a ")


def _weighted(weights: Sequence[float], rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _colored_beard(
    fact: str, facts: Mapping[str, bool | None], barred: set[str], rng: np.random.Generator
) -> Saying | None:
    """Now and then "a gray beard": the colour of hair is the beard's too."""
    color = next((name for name in HAIR_COLORS if facts[f"{name} hair"]), None)
    if fact != "beard" or not facts["beard"] or not color or "hair color" in barred or rng.random() < 0.6:
        return None
    words = str(rng.choice(_COLOR_WORDS[color]))
    claims = (("beard", True), (f"{color} hair", True))
    return Saying(claims, "with", f"{'an' if words[0] in 'aeiou' else 'a'} {words} beard")


_NOUN_WEIGHTS_BY_NAME = {
    "face": 0.42, "person": 0.26, "man": 0.06, "woman": 0.05, "human": 0.03, "head": 0.03, "human face": 0.03,
    "portrait": 0.03, "guy": 0.02, "lady": 0.02, "character": 0.01, "people": 0.01, "human being": 0.01,
    "adult": 0.01, "somebody": 0.01,
}  # fmt: skip
_NOUNS = tuple(_NOUN_WEIGHTS_BY_NAME)
_NOUN_WEIGHTS = tuple(_NOUN_WEIGHTS_BY_NAME.values())

_COLOR_WORDS = {
    "black": ("black", "dark black", "jet black"),
    "brown": ("brown", "brunette", "chestnut"),
    "blond": ("blond", "blonde", "golden", "fair"),
    "gray": ("gray", "grey", "white", "silver"),
    "red": ("red", "ginger", "auburn"),
}

# What cannot be said beside each other without saying the same twice.
_TOPICS = {
    **dict.fromkeys(("beard", "facial hair", "goatee", "mustache", "stubble"), "beard"),
    **dict.fromkeys((f"{color} hair" for color in HAIR_COLORS), "hair color"),
}

_GLASSES = ("glasses", "eyeglasses", "spectacles", "a pair of glasses", "reading glasses", "eye glasses", "specs")
_HATS = ("a hat", "a cap", "a beanie", "a knitted hat", "a woolen hat", "headwear")
_BEARD = ("a beard", "a full beard", "a thick beard", "a bushy beard")
_MUSTACHE = ("a mustache", "a moustache")
_STUBBLE = ("stubble", "a five o'clock shadow", "a 5 o'clock shadow", "a stubbly beard", "beard stubble")
_BANGS = ("bangs", "a fringe", "hair over the forehead")
_MAKEUP = ("makeup", "make-up", "heavy makeup", "heavy make-up", "cosmetics", "eye shadow", "eyeshadow")
_LIPSTICK = ("lipstick", "red lipstick", "painted lips", "red lips")
_EARRINGS = ("earrings", "an earring", "ear rings", "golden earrings")

_WAYS: dict[tuple[str, bool], dict[str, tuple[str, ...]]] = {
    ("glasses", True): {"with": _GLASSES, "wearing": _GLASSES, "adjective": ("bespectacled",)},
    ("glasses", False): {"without": ("glasses", "eyeglasses", "spectacles"), "with": ("no glasses", "no eyeglasses")},
    ("hat", True): {"with": _HATS, "wearing": _HATS},
    ("hat", False): {"without": ("a hat", "a cap"), "with": ("no hat",), "adjective": ("bareheaded",)},
    ("beard", True): {"with": _BEARD, "adjective": ("bearded",)},
    ("beard", False): {"without": ("a beard",), "with": ("no beard",)},
    ("facial hair", True): {"with": ("facial hair",)},
    ("facial hair", False): {
        "without": ("facial hair", "any facial hair", "a beard"),
        "with": ("no facial hair", "a shaved chin", "no beard"),
        "adjective": ("clean-shaven", "clean shaven", "shaved", "beardless", "shaven"),
    },
    ("goatee", True): {"with": ("a goatee", "a goatee beard", "a chin beard")},
    ("goatee", False): {"without": ("a goatee",), "with": ("no goatee",)},
    ("mustache", True): {"with": _MUSTACHE, "wearing": _MUSTACHE},
    ("mustache", False): {"without": _MUSTACHE, "with": ("no mustache",)},
    ("stubble", True): {"with": _STUBBLE, "adjective": ("unshaven", "stubbly")},
    ("stubble", False): {"without": ("stubble",)},
    **{
        (f"{color} hair", True): {
            "with": tuple(f"{word} hair" for word in words),
            "adjective": tuple(f"{word}-haired" for word in words) + (("blond", "blonde") if color == "blond" else ()),
        }
        for color, words in _COLOR_WORDS.items()
    },
    ("bald", True): {"adjective": ("bald", "bald-headed", "hairless"), "with": ("a bald head", "no hair")},
    ("bald", False): {"with": ("hair", "a full head of hair")},
    ("bangs", True): {"with": _BANGS},
    ("bangs", False): {"without": ("bangs", "a fringe"), "with": ("a bare forehead", "no bangs")},
    ("long hair", True): {"with": ("long hair", "hair over the ears"), "adjective": ("long-haired",)},
    ("long hair", False): {"with": ("short hair",), "adjective": ("short-haired",)},
    ("old", True): {
        "adjective": ("old", "elderly", "aged", "older", "wrinkled", "senior"),
        "with": ("wrinkles", "wrinkled skin", "old skin"),
    },
    ("old", False): {"adjective": ("young", "youthful", "younger"), "without": ("wrinkles",), "with": ("smooth skin",)},
    ("pale", True): {"adjective": ("pale", "pale-skinned", "very pale"), "with": ("pale skin", "a pale complexion")},
    ("pale", False): {"without": ("pale skin",)},
    ("makeup", True): {"with": _MAKEUP, "wearing": _MAKEUP, "adjective": ("made-up",)},
    ("makeup", False): {"without": ("makeup", "make-up"), "with": ("no makeup",)},
    ("lipstick", True): {"with": _LIPSTICK, "wearing": _LIPSTICK[:2]},
    ("lipstick", False): {"without": ("lipstick",), "with": ("no lipstick", "natural lips")},
    ("big nose", True): {"with": ("a big nose", "a large nose", "a wide nose"), "adjective": ("big-nosed",)},
    ("big nose", False): {"with": ("a small nose", "a little nose", "a narrow nose"), "without": ("a big nose",)},
    ("bushy eyebrows", True): {
        "with": ("bushy eyebrows", "thick eyebrows", "bushy brows", "thick brows", "heavy eyebrows")
    },
    ("bushy eyebrows", False): {"with": ("thin eyebrows", "thin brows"), "without": ("bushy eyebrows",)},
    ("rosy cheeks", True): {
        "with": ("rosy cheeks", "red cheeks", "pink cheeks", "flushed cheeks"),
        "adjective": ("rosy-cheeked", "blushing"),
    },
    ("rosy cheeks", False): {"without": ("rosy cheeks", "red cheeks")},
    ("earrings", True): {"with": _EARRINGS, "wearing": _EARRINGS},
    ("earrings", False): {"without": ("earrings",), "with": ("no earrings",)},
}  # fmt: skip
