"""What flows between the stages: values that know their sizes and maker, never change, and fit one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import torch
from torch import Tensor

from . import tensorfile
from .diffusion.solvers import find_solver
from .errors import DvaError

LANDMARK_POINTS = 68
IDENTITY_FEATURES = 512
LANDMARK_CODE = 102
NO_SOLVER = "random"

StoredValue = TypeVar("StoredValue", bound="Stored")


class Stored:
    """Saving and loading, for the frozen dataclasses below."""

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        plain, tensors = _split(self)
        tensorfile.write(path, type(self).__name__, plain, tensors)

    @classmethod
    def load(cls: type[StoredValue], path: str | Path) -> StoredValue:
        """Reads what `save` of this class wrote; DvaError when it is missing, damaged or of another kind."""
        plain, tensors = tensorfile.read(path, cls.__name__)
        try:
            return _joined(cls, plain, tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise DvaError(f"{path} does not hold a whole {cls.__name__} ({error}); make it again.") from error


@dataclass(frozen=True, eq=False)
class FaceTrack(Stored):
    """Where one person's face is in each of T frames, in pixels of the frame.

    landmarks: float64 [T,68,2] (x,y), the centre of the top-left pixel at (0,0). quads: float64 [T,4,2],
    top-left, bottom-left, bottom-right, top-right corner of the crop. valid: bool [T]; elsewhere landmarks
    and quads may be NaN.
    """

    landmarks: np.ndarray
    quads: np.ndarray
    valid: np.ndarray
    height: int
    width: int
    frame_rate: Fraction

    def __post_init__(self) -> None:
        frames = len(self.valid)
        _check_array("FaceTrack.valid", self.valid, np.bool_, (frames,))
        _check_array("FaceTrack.landmarks", self.landmarks, np.float64, (frames, LANDMARK_POINTS, 2))
        _check_array("FaceTrack.quads", self.quads, np.float64, (frames, 4, 2))
        if not (np.isfinite(self.landmarks[self.valid]).all() and np.isfinite(self.quads[self.valid]).all()):
            raise DvaError("FaceTrack has valid frames whose landmarks or quads are not finite; mark them invalid.")


@dataclass(frozen=True, eq=False)
class Identity(Stored):
    """Who it is: features float32 [N,512], one row for each frame or one for the clip, and their model."""

    features: Tensor
    model: str

    def __post_init__(self) -> None:
        _check_tensor("Identity.features", self.features, ("N", IDENTITY_FEATURES))

    def mean(self) -> Identity:
        """The clip's identity: the mean row, NOT scaled to length 1 (Kim et al. 2023, Sec. 3.1)."""
        return Identity(self.features.mean(dim=0, keepdim=True), self.model)


@dataclass(frozen=True, eq=False)
class IdentityShift(Stored):
    """A move of an identity, found once and good for any clip: features float32 [1,512], to be added to those of an
    `Identity` of the same model, and a name for people ("face -> face with eyeglasses")."""

    features: Tensor
    model: str
    name: str

    def __post_init__(self) -> None:
        _check_tensor("IdentityShift.features", self.features, (1, IDENTITY_FEATURES))
        if not self.features.isfinite().all():
            raise DvaError(f"The shift '{self.name}' holds numbers that are not finite; find it again.")


@dataclass(frozen=True, eq=False)
class LandmarkCodes(Stored):
    """How the face moves: codes float32 [T,102], points 17..67 in fractions of the crop, and their model."""

    codes: Tensor
    model: str

    def __post_init__(self) -> None:
        _check_tensor("LandmarkCodes.codes", self.codes, ("T", LANDMARK_CODE))


@dataclass(frozen=True, eq=False)
class NoiseMaps(Stored):
    """All the rest: x_T float32 [T,3,S,S], with the steps, solver and model that inverted the crops to it.

    `stored`: the maps that the solver goes on from beside x_T, float32 or float16 [T,n,3,S,S], None where it needs none
    (`diffusion.SOLVERS`). The solver of noise that no crops were inverted to is NO_SOLVER.
    """

    x_T: Tensor
    steps: int
    solver: str
    model: str
    stored: Tensor | None = None

    def __post_init__(self) -> None:
        _check_tensor("NoiseMaps.x_T", self.x_T, ("T", 3, "S", "S"))
        expected = 0 if self.solver == NO_SOLVER else find_solver(self.solver, self.steps).stored(self.steps)
        shape = [len(self.x_T), expected, *self.x_T.shape[1:]]
        found = None if self.stored is None else list(self.stored.shape)
        if found != (shape if expected else None):
            raise DvaError(
                f"Noise maps of the solver {self.solver} with {self.steps} steps go with "
                f"{f'stored maps {shape}' if expected else 'no stored maps'}, not {found}; invert the clip again."
            )
        if self.stored is not None and self.stored.dtype not in (torch.float32, torch.float16):
            raise DvaError(f"NoiseMaps.stored must be float32 or float16, not {self.stored.dtype}.")

    @property
    def bytes_per_frame(self) -> int:
        """The memory that they take."""
        maps = [self.x_T] if self.stored is None else [self.x_T, self.stored]
        return sum(each[0].numel() * each.element_size() for each in maps)

    def part(self, frames: Sequence[int] | slice) -> NoiseMaps:
        """Those of some frames."""
        stored = None if self.stored is None else self.stored[frames]
        return replace(self, x_T=self.x_T[frames], stored=stored)


@dataclass(frozen=True, eq=False)
class EncodedClip(Stored):
    """A clip taken apart: crops float32 [T,3,S,S] in -1..1, and for each its landmarks and noise.

    `identity` has a row for each frame, or one for the clip. `unedited`: what the noise maps decode to with the mean
    identity, [T,3,S,S] in -1..1; what it lacks of the crops is the detail that a solver loses. `recombined`: the
    landmark codes or noise maps are those of another clip (`editing.transfer`), and decode to something else.
    """

    crops: Tensor
    identity: Identity
    landmark_codes: LandmarkCodes
    noise_maps: NoiseMaps
    unedited: Tensor
    recombined: bool = False

    def __post_init__(self) -> None:
        _check_tensor("EncodedClip.crops", self.crops, ("T", 3, "S", "S"))
        _check_tensor("EncodedClip.unedited", self.unedited, ("T", 3, "S", "S"))
        frames = len(self.crops)
        counts = [frames, len(self.landmark_codes.codes), len(self.noise_maps.x_T), len(self.unedited)]
        if len(set(counts)) > 1 or len(self.identity.features) not in (1, frames):
            raise DvaError(
                "EncodedClip needs as many landmark codes, noise maps and decodes as crops, and one identity or as "
                f"many, not {', '.join(map(str, counts))} and {len(self.identity.features)}."
            )
        makers = {self.identity.model, self.landmark_codes.model, self.noise_maps.model}
        if len(makers) > 1:
            raise DvaError(f"EncodedClip mixes parts made by different models ({', '.join(sorted(makers))}); use one.")

    def part(self, frames: Sequence[int] | slice) -> EncodedClip:
        """Some frames of the clip, still of the person that the whole of it shows: who it was inverted with."""
        frames = frames if isinstance(frames, slice) else list(frames)
        return replace(
            self,
            crops=self.crops[frames],
            identity=self.identity.mean(),
            landmark_codes=replace(self.landmark_codes, codes=self.landmark_codes.codes[frames]),
            noise_maps=self.noise_maps.part(frames),
            unedited=self.unedited[frames],
        )


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """Letters in `shape` stand for any size; equal letters for equal sizes."""
    sizes: dict[str, int] = {}
    fits = tensor.ndim == len(shape) and all(
        size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
        for size, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits or tensor.dtype != torch.float32:
        wanted = ",".join(map(str, shape))
        raise DvaError(f"{name} must be float32 [{wanted}], not {tensor.dtype} {list(tensor.shape)}.")


def _check_array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DvaError(f"{name} must be a {np.dtype(dtype)} array {list(shape)}, not {found}.")


def _split(value: Stored) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain fields for the header, tensors for the body; the parts of a nested value go under `name.`."""
    plain: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, Stored):
            plain[field.name], inner = _split(part)
            tensors.update({f"{field.name}.{name}": tensor for name, tensor in inner.items()})
        elif isinstance(part, (Tensor, np.ndarray)):
            tensors[field.name] = torch.as_tensor(part)
        else:
            plain[field.name] = str(part) if isinstance(part, Fraction) else part
    return plain, tensors


def _joined(cls: type[StoredValue], plain: dict[str, Any], tensors: dict[str, Tensor]) -> StoredValue:
    parts: dict[str, Any] = {}
    for name, kind in get_type_hints(cls).items():
        if kind == (Tensor | None):
            parts[name] = tensors.get(name)
        elif kind is Tensor:
            parts[name] = tensors[name]
        elif kind is np.ndarray:
            parts[name] = tensors[name].numpy()
        elif issubclass(kind, Stored):
            inner = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            parts[name] = _joined(kind, plain[name], inner)
        elif name in plain:  # files of before have no fields that came later, and those have defaults
            parts[name] = kind(plain[name])
    return cls(**parts)
