"""The pack loaded into the stand-in host, and one short clip taken through it, for the tests of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .host import Host, installed, load_pack, run_node

ROOT = Path(__file__).parents[1]
STEPS = 5

ALIGN = {"which_face": "largest", "number": 1, "missing_frames": "pass through", "smoothing": 1.0, "x": 0.5, "y": 0.5}
INVERT = {"steps": STEPS, "solver": "residual", "frames_per_batch": 8}
PASTE = {"feather": 0.03, "colour_match": 0.0, "replace": False}
EDIT = {"attribute": "Eyeglasses", "strength": 1.0, "method": "to class"}
SWEEP = {
    "attribute": "Eyeglasses", "lowest": -1.0, "highest": 1.0, "count": 3, "frames": 3, "whole_clips": False,
    "method": "to class", "frames_per_batch": 8,
}  # fmt: skip
FIND = {
    "source_text": "face", "target_text": "face with a hat", "iterations": 3, "key_frames": 2, "stay_same_person": 1.0,
    "stay_same_picture": 1.0, "pictures_per_batch": 16,
}  # fmt: skip
WEIGHTS = {"weight_1": 1.0, "weight_2": 1.0, "weight_3": 1.0, "weight_4": 1.0}


@dataclass(frozen=True)
class Pack:
    """Runs nodes by their ids without the prefix."""

    host: Host
    classes: dict[str, type]

    def run(self, node: str, **inputs: Any) -> tuple[Any, ...]:
        """The outputs of a node."""
        return run_node(self.classes[f"DVA_{node}"], **inputs).args

    def align(self, model: Any, images: Any, **changed: Any) -> tuple[Any, ...]:
        return self.run("AlignFaces", model=model, images=images, **{**ALIGN, **changed})

    def invert(self, clip: Encoded, **changed: Any) -> tuple[Any, ...]:
        codes = {"model": clip.model, "crops": clip.crops, "identity": clip.identity, "landmarks": clip.landmarks}
        return self.run("Invert", **{**codes, **INVERT, **changed})

    def edit(self, model: Any, identity: Any, strength: float, attribute: str = "Eyeglasses") -> Any:
        edit = {**EDIT, "attribute": attribute, "strength": strength}
        return self.run("EditAttribute", model=model, identity=identity, **edit)[0]

    def decode(self, model: Any, noise: Any, identity: Any, **changed: Any) -> Any:
        options = {"keep_detail": True, "frames_per_batch": 8, **changed}
        return self.run("Decode", model=model, noise=noise, identity=identity, **options)[0]

    def paste(self, model: Any, images: Any, crops: Any, track: Any, **changed: Any) -> tuple[Any, ...]:
        return self.run("PasteBack", model=model, images=images, crops=crops, track=track, **{**PASTE, **changed})


@dataclass(frozen=True)
class Encoded:
    """The first frames of the demo clip, taken apart by the nodes."""

    model: Any
    images: Any
    track: Any
    crops: Any
    identity: Any
    per_frame: Any
    landmarks: Any
    noise: Any


@contextmanager
def loaded_pack(folder: Path) -> Iterator[Pack]:
    """The pack in a fresh host below `folder`."""
    with installed(folder) as host:
        yield Pack(host, load_pack(ROOT))


def encoded(pack: Pack, frames: int = 3, person: str = "first person, with sound") -> Encoded:
    """Runs the nodes up to the inversion."""
    (model,) = pack.run("LoadModel", model="demo (built in)", precision="float32", device="auto")
    images, _, _ = pack.run("DemoClip", clip=person, frames=frames)
    track, crops, _, _ = pack.align(model, images)
    identity, per_frame = pack.run("EncodeIdentity", model=model, crops=crops)
    (landmarks,) = pack.run("EncodeLandmarks", model=model, crops=crops)
    codes = {"crops": crops, "identity": identity, "landmarks": landmarks}
    noise, _, _ = pack.run("Invert", model=model, **codes, **INVERT)
    return Encoded(model, images, track, crops, identity, per_frame, landmarks, noise)
