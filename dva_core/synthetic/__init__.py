"""Faces rendered with known truth: identity, motion and scene as independent factors, the same in every run."""

from .motion import Motion, sample_motion
from .person import HELD_OUT_SEEDS, TRAIN_SEEDS, Person, sample_person, set_attribute
from .render import Rendered, RenderedClip, render, render_clip, render_crops
from .scene import Scene, sample_scene

__all__ = [
    "HELD_OUT_SEEDS", "TRAIN_SEEDS", "Motion", "Person", "Rendered", "RenderedClip", "Scene",
    "render", "render_clip", "render_crops", "sample_motion", "sample_person", "sample_scene", "set_attribute",
]  # fmt: skip
