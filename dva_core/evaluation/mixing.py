"""Identity and motion switched between rendered people: is the other one seen, and moving as they moved?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_STEPS
from ..editing.mixing import interpolate_identities
from ..editing.transfer import with_motion
from ..pipeline import decode_clip, encode_clip
from ..progress import Cancel, Watch, never
from ..synthetic import TRAIN_SEEDS, Motion, render_crops, sample_motion, sample_person, sample_scene
from .judges import Judges
from .people import SPACING, filmed

LEAST_MOUTH_MOVEMENT = 0.05
"""Standard deviation of a driver's mouth opening, of 0..1, below which there is nothing to correlate with."""
FIRST_PERSON, PEOPLE, RIDGE = 40_000, 1000, 1e-3

HOW = {
    "mixing": "pairs of people of the held-out seeds, clips of frames far apart, cut along the true landmarks,"
    " the source's detail kept where nothing changes, before paste-back",
    "mixing.identity_switch": "a clip decoded with the mean identity of the other person: the share of clips that an"
    " identity net of another seed finds nearer to the other person's clip than to its own source, by cosine of the"
    " mean features; cosine_to_donor and cosine_to_source are means over clips",
    "mixing.motion_yaw_error_deg": "a clip decoded with the landmark codes of the other person, brought to its own"
    " proportions: yaw and pitch measured in the result against those that the renderer gave the other person's clip,"
    " mean absolute error over frames and clips, in degrees. They are measured from the landmarks (the model's"
    " landmark net) by a linear ridge regression that learned them on 1000 rendered people of the training range;"
    " floor is the same on the rendered truth, the clip's person with the other's motion; doing_nothing on the source",
    "mixing.motion_pitch_error_deg": "as the yaw",
    "mixing.mouth_correlation": "correlation over time of the mouth opening, measured in the same way, with the one"
    " that the renderer gave the driver; mean over the clips whose driver moves the mouth (clips_with_speech)",
}


@dataclass(frozen=True)
class Pose:
    """What the renderer knows of a clip's motion: yaw and pitch in degrees, mouth opening 0..1, each float64 [T]."""

    yaw: np.ndarray
    pitch: np.ndarray
    mouth: np.ndarray

    @classmethod
    def of(cls, motion: Motion, frames: Sequence[int]) -> Pose:
        at = list(frames)
        angles = (np.degrees(values[at].astype(np.float64)) for values in (motion.yaw, motion.pitch))
        return cls(*angles, motion.mouth_open[at].astype(np.float64))


@dataclass(frozen=True)
class PoseReader:
    """Yaw, pitch and mouth opening as linear functions of landmark codes: weight [103,3], the last row the constant."""

    weight: Tensor

    @classmethod
    def fitted(cls, codes: Tensor, truth: Tensor, ridge: float = RIDGE) -> PoseReader:
        """From landmark codes [N,102] and yaw, pitch, mouth opening [N,3]; coordinates count by their spread."""
        codes, truth = codes.double(), truth.double()
        mean, spread = codes.mean(0), codes.std(0).clamp(min=1e-6)
        inputs = (codes - mean) / spread
        square = inputs.T @ inputs / len(inputs) + ridge * torch.eye(inputs.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(square, inputs.T @ (truth - truth.mean(0)) / len(inputs)) / spread[:, None]
        return cls(torch.cat([weight, (truth.mean(0) - mean @ weight)[None]]))

    def read(self, codes: Tensor) -> Pose:
        """Landmark codes [T,102] -> what they show."""
        values = F.pad(codes.double(), (0, 1), value=1.0) @ self.weight
        return Pose(*values.T.numpy())


@dataclass(frozen=True)
class Switched:
    """One pair: the donor's identity, and the driver's motion, in a clip. Errors are in degrees, mean over frames."""

    cosine_to_donor: float
    cosine_to_source: float
    motion: dict[str, dict[str, float | None]]


def measure_mixing(
    model: DiffusionVideoAutoencoder, judges: Judges, people: Sequence[int], frames: int, reader: PoseReader,
    watch: Watch, *, steps: int = DEFAULT_STEPS, batch_size: int = 8, cancelled: Cancel = never,
) -> list[Switched]:  # fmt: skip
    """Everybody gets the identity, and then the motion, of the next in the row. `watch` ticks for each person."""
    options = {"batch_size": batch_size, "cancelled": cancelled}
    results = []
    for seed, other in zip(people, [*people[1:], people[0]], strict=True):
        source, donor = (filmed(one, frames, model.config.image_size) for one in (seed, other))
        clip = encode_clip(model, source, steps, **options)
        switched = interpolate_identities(clip.identity, model.encode_identity(donor), 1.0)
        towards = _alike(judges, decode_clip(model, clip, switched, **options), (donor, source))
        moved = with_motion(clip, model.encode_landmarks(donor))
        driven = decode_clip(model, moved, clip.identity.mean(), **options)
        length = (frames - 1) * SPACING + 1
        motion = sample_motion(other, length)
        perfect = filmed(seed, frames, model.config.image_size, motion=motion)
        wanted = Pose.of(motion, range(0, length, SPACING))
        seen = {"switched": driven, "floor": perfect, "doing_nothing": source}
        poses = {name: reader.read(model.encode_landmarks(crops).codes) for name, crops in seen.items()}
        results.append(Switched(*towards, {name: motion_errors(pose, wanted) for name, pose in poses.items()}))
        watch.tick()
    return results


def fit_pose_reader(model: DiffusionVideoAutoencoder, people: int = PEOPLE) -> PoseReader:
    """Learns to read poses from the model's landmarks, on one picture each of people of the training range."""
    codes, truth = [], []
    for start in range(FIRST_PERSON, FIRST_PERSON + people, 50):
        seeds = [TRAIN_SEEDS[i] for i in range(start, min(start + 50, FIRST_PERSON + people))]
        motions, scenes = [sample_motion(seed, 1) for seed in seeds], [sample_scene(seed, 1) for seed in seeds]
        cast = [sample_person(seed) for seed in seeds]
        pictures = render_crops(cast, motions, scenes, [0] * len(seeds), model.config.image_size).pictures
        crops = rearrange(torch.from_numpy(pictures), "n h w c -> n c h w").float() / 127.5 - 1
        codes.append(model.encode_landmarks(crops).codes)
        poses = [Pose.of(motion, [0]) for motion in motions]
        truth += [[pose.yaw[0], pose.pitch[0], pose.mouth[0]] for pose in poses]
    return PoseReader.fitted(torch.cat(codes), torch.tensor(truth))


def motion_errors(seen: Pose, wanted: Pose) -> dict[str, float | None]:
    """Mean absolute errors of yaw and pitch, and the mouth's correlation (None where the wanted mouth hardly moves)."""
    moves = len(wanted.mouth) > 1 and wanted.mouth.std() >= LEAST_MOUTH_MOVEMENT
    together = float(np.corrcoef(seen.mouth, wanted.mouth)[0, 1]) if moves and seen.mouth.std() > 0 else 0.0
    return {
        "yaw_error_deg": float(np.abs(seen.yaw - wanted.yaw).mean()),
        "pitch_error_deg": float(np.abs(seen.pitch - wanted.pitch).mean()),
        "mouth_correlation": together if moves else None,
    }


def summary(measured: Sequence[Switched]) -> dict[str, Any]:
    """The report's numbers, means over the pairs."""
    found: dict[str, Any] = {
        "clips": len(measured),
        "identity_switch": fmean(one.cosine_to_donor > one.cosine_to_source for one in measured),
        "cosine_to_donor": fmean(one.cosine_to_donor for one in measured),
        "cosine_to_source": fmean(one.cosine_to_source for one in measured),
    }
    speech = [one for one in measured if one.motion["switched"]["mouth_correlation"] is not None]
    for of, name in (("switched", ""), ("floor", "_floor"), ("doing_nothing", "_doing_nothing")):
        for key in ("yaw_error_deg", "pitch_error_deg"):
            found[f"motion_{key}{name}"] = fmean(one.motion[of][key] for one in measured)
        correlations = [one.motion[of]["mouth_correlation"] for one in speech]
        found[f"mouth_correlation{name}"] = fmean(correlations) if correlations else None
    return found | {"clips_with_speech": len(speech)}


def _alike(judges: Judges, crops: Tensor, others: Sequence[Tensor]) -> list[float]:
    """Cosines between the judges' mean features of a clip and those of others."""
    who = _who(judges, crops)
    return [float(who @ _who(judges, other)) for other in others]


def _who(judges: Judges, crops: Tensor) -> Tensor:
    return F.normalize(judges.identity_features(crops).mean(0), dim=0)
