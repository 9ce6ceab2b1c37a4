"""Who is in the picture: the factors of a rendered person that never change over a clip, and their CelebA names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import DvaError

TRAIN_SEEDS = range(0, 100_000)
"""Identities that trainings may draw from."""
HELD_OUT_SEEDS = range(1_000_000, 1_100_000)
"""Identities that no training ever sees: tests, evaluation and the demo clip."""

HAIR_COLORS = ("black", "brown", "blond", "gray", "red")
BEARDS = ("none", "full", "goatee", "mustache", "stubble")

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Person:
    """One identity. Lengths are in head units (half the height of the head is about 1), colours are linear 0..1 RGB.

    The yes/no factors are kept beside the shape that they switch on (a person without glasses still has a favourite
    pair), so that toggling one is the same person with exactly one thing changed: the counterfactual.
    """

    seed: int
    # shape of the head and its parts
    head_width: float
    head_depth: float
    jaw_taper: float
    chin: float
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_tilt: float
    eye_color: Color
    brow_height: float
    brow_thickness: float
    brow_angle: float
    nose_width: float
    nose_length: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lip_color: Color
    skin_tone: float
    skin_hue: float
    ear_size: float
    # hair
    hair_color: str
    hair_jitter: Color
    hairline: float
    hair_side: float
    hair_volume: float
    hair_length: float
    hair_wave: float
    hair_parting: float
    strands: float
    beard: str
    beard_length: float
    # things worn
    glasses_round: float
    glasses_width: float
    glasses_height: float
    glasses_thickness: float
    glasses_color: Color
    glasses_tint: float
    hat_color: Color
    hat_line: float
    lipstick_color: Color
    eyeshadow_color: Color
    # yes or no
    eyeglasses: bool
    bangs: bool
    bald: bool
    hat: bool
    old: bool
    pale: bool
    makeup: bool
    lipstick: bool
    big_nose: bool
    bushy_eyebrows: bool
    rosy_cheeks: bool
    earrings: bool

    @property
    def attributes(self) -> dict[str, bool]:
        """CelebA name -> whether the person has it, for every attribute that the renderer knows."""
        return {name: test(self) for name, (test, _, _) in _ATTRIBUTES.items()}


def sample_person(seed: int) -> Person:
    """Draws the person of a seed: attributes are independent of each other and of the shapes.

    Use seeds from `TRAIN_SEEDS` for training and from `HELD_OUT_SEEDS` for everything else.
    """
    rng = np.random.default_rng([1, seed])
    u = rng.uniform

    def color(low: float, high: float) -> Color:
        return tuple(float(c) for c in u(low, high, 3))

    beard = str(rng.choice(BEARDS, p=(0.5, 0.3, 0.08, 0.08, 0.04)))
    bald = bool(u() < 0.1)
    frame_dark = u() < 0.75
    return Person(
        seed=seed,
        head_width=u(0.64, 0.75), head_depth=u(0.80, 0.92), jaw_taper=u(-0.10, 0.22), chin=u(0.0, 0.06),
        eye_distance=u(0.262, 0.295), eye_height=u(-0.02, 0.04), eye_width=u(0.125, 0.155), eye_opening=u(0.055, 0.085),
        eye_tilt=u(-0.12, 0.16), eye_color=_eye_color(rng),
        brow_height=u(0.15, 0.20), brow_thickness=u(0.020, 0.032), brow_angle=u(-0.14, 0.20),
        nose_width=u(0.085, 0.115), nose_length=u(0.33, 0.42),
        mouth_height=u(0.57, 0.64), mouth_width=u(0.19, 0.25), upper_lip=u(0.030, 0.055), lower_lip=u(0.040, 0.070),
        lip_color=(float(u(0.55, 0.75)), float(u(0.25, 0.36)), float(u(0.24, 0.36))),
        skin_tone=u(0.0, 0.85), skin_hue=u(-1, 1), ear_size=u(0.85, 1.2),
        hair_color=str(rng.choice(HAIR_COLORS, p=(0.26, 0.22, 0.22, 0.16, 0.14))),
        hair_jitter=tuple(float(c) for c in rng.normal(0, 0.03, 3)),
        hairline=u(-0.66, -0.50), hair_side=u(-0.05, 0.12), hair_volume=u(0.06, 0.20),
        hair_length=float(u(0.55, 1.5) if u() < 0.45 else u(0.1, 0.35)), hair_wave=u(0, 1) ** 2,
        hair_parting=u(-0.6, 0.6), strands=u(0.6, 1.2),
        beard=beard, beard_length=u(0.3, 1.0),
        glasses_round=u(0.25, 1.0), glasses_width=u(0.195, 0.225), glasses_height=u(0.135, 0.18),
        glasses_thickness=u(0.062, 0.085),
        glasses_color=color(0.01, 0.12) if frame_dark else _vivid(rng, 0.55), glasses_tint=u(0.05, 0.3),
        hat_color=_vivid(rng, float(u(0.2, 0.65))), hat_line=u(-0.52, -0.40),
        lipstick_color=(float(u(0.6, 0.8)), float(u(0.02, 0.10)), float(u(0.10, 0.30))),
        eyeshadow_color=_vivid(rng, 0.4),
        eyeglasses=bool(u() < 0.45), bangs=bool(not bald and u() < 0.3), bald=bald, hat=bool(u() < 0.18),
        old=bool(u() < 0.35), pale=bool(u() < 0.2), makeup=bool(u() < 0.22), lipstick=bool(u() < 0.25),
        big_nose=bool(u() < 0.3), bushy_eyebrows=bool(u() < 0.3), rosy_cheeks=bool(u() < 0.2),
        earrings=bool(u() < 0.15),
    )  # fmt: skip


def set_attribute(person: Person, name: str, on: bool) -> Person:
    """The same person with one attribute switched: what a perfect edit would show.

    Raises DvaError for a name that the renderer does not know.
    """
    if name not in _ATTRIBUTES:
        raise DvaError(f"The renderer does not know the attribute '{name}'; it knows {', '.join(_ATTRIBUTES)}.")
    test, switched_on, switched_off = _ATTRIBUTES[name]
    return person if test(person) == on else replace(person, **(switched_on if on else switched_off))


def _eye_color(rng: np.random.Generator) -> Color:
    palette = np.array([(0.20, 0.10, 0.05), (0.10, 0.22, 0.45), (0.12, 0.30, 0.14), (0.25, 0.28, 0.32)])
    return tuple(float(c) for c in palette[rng.choice(4, p=(0.45, 0.25, 0.18, 0.12))] * rng.uniform(0.7, 1.2))


def _vivid(rng: np.random.Generator, value: float) -> Color:
    hue = rng.uniform(0, 2 * np.pi)
    return tuple(float(np.clip(value * (0.6 + 0.6 * np.cos(hue + k * 2.1)), 0.01, 1)) for k in range(3))


def _flag(field: str):
    return (lambda person: getattr(person, field)), {field: True}, {field: False}


def _hair(color: str):
    other = "brown" if color != "brown" else "black"
    return (lambda person: person.hair_color == color), {"hair_color": color}, {"hair_color": other}


def _beard(kind: str):
    return (lambda person: person.beard == kind), {"beard": kind}, {"beard": "none"}


_ATTRIBUTES = {
    "5_o_Clock_Shadow": _beard("stubble"),
    "Bald": (lambda person: person.bald, {"bald": True, "bangs": False}, {"bald": False}),
    "Bangs": (lambda person: person.bangs, {"bangs": True, "bald": False}, {"bangs": False}),
    "Big_Nose": _flag("big_nose"),
    "Black_Hair": _hair("black"),
    "Blond_Hair": _hair("blond"),
    "Brown_Hair": _hair("brown"),
    "Bushy_Eyebrows": _flag("bushy_eyebrows"),
    "Eyeglasses": _flag("eyeglasses"),
    "Goatee": _beard("goatee"),
    "Gray_Hair": _hair("gray"),
    "Heavy_Makeup": _flag("makeup"),
    "Mustache": _beard("mustache"),
    "No_Beard": (lambda person: person.beard == "none", {"beard": "none"}, {"beard": "full"}),
    "Pale_Skin": _flag("pale"),
    "Rosy_Cheeks": _flag("rosy_cheeks"),
    "Wearing_Earrings": _flag("earrings"),
    "Wearing_Hat": _flag("hat"),
    "Wearing_Lipstick": _flag("lipstick"),
    "Young": (lambda person: not person.old, {"old": False}, {"old": True}),
}
