"""Parts of one clip given to another: how somebody moves, what is around them, or nothing but noise.

Kim et al. 2023, Sec. 3 and Fig. 2: identity, landmarks and noise maps are separate, so each can come from elsewhere
(who it is: `mixing.interpolate_identities`). Each function named `with_` gives an `EncodedClip` whose `crops` are the
pictures that the result is pasted in the place of, and whose `unedited` tells `decode_clip` what detail those lost; so
it may be decoded with `keep_detail` and pasted as any other.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import DvaError
from ..values import NO_SOLVER, EncodedClip, Identity, LandmarkCodes

# How much of the difference between two people's average faces is their proportions; the rest is how they held their
# heads and mouths. Over eight rendered pairs the mouth's opening correlates with the driver's by 0.85 with 0.3, 0.84
# with 0.5 and 0.79 with 0.75, and errors of yaw are 1.9, 1.8 and 1.6 degrees.
_PROPORTIONS = 0.5
# How far the mouth goes from the source's own to the driver's, and beyond: the net follows its codes too little. With
# 0.75 above, the correlation is 0.72 with 1, 0.80 with 1.5, 0.79 with 2, 0.74 with 3.
_MOUTH_GAIN = 2.0
_MOUTH = slice(2 * (48 - 17), None)  # points 48..67 among the coordinates of 17..67
# For each of the inner points 17..67, less 17: which one it becomes in a mirror.
_MIRRORED = (
    9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 10, 11, 12, 13, 18, 17, 16, 15, 14, 28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23,
    37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38, 47, 46, 45, 44, 43, 50, 49, 48,
)  # fmt: skip


def resample_motion(
    codes: LandmarkCodes, source_rate: Fraction | float, count: int, target_rate: Fraction | float
) -> LandmarkCodes:
    """The same motion at the same speed in `count` frames of another rate, codes float32 [count,102].

    Between two frames points move straight. A motion that is too short runs back and forth: holding still would look
    dead, and starting over would jump. A longer one is cut. With equal rates the frames are taken bit for bit.
    Raises DvaError for rates or counts that are not above 0.
    """
    if not (source_rate > 0 and target_rate > 0 and count > 0):
        raise DvaError(f"Frame rates and counts must be above 0, not {source_rate}, {target_rate} and {count}.")
    if len(codes.codes) == 0:
        raise DvaError("There is no motion to follow: the landmark codes have no frame.")
    step, last = Fraction(source_rate) / Fraction(target_rate), len(codes.codes) - 1
    # Fractions, so that no frame of a long clip falls beside itself by rounding.
    positions = [_back_and_forth(n * step, last) for n in range(count)]
    before = [int(position) for position in positions]
    after = [min(row + 1, last) for row in before]
    weight = torch.tensor([[float(p - row)] for p, row in zip(positions, before, strict=True)])
    return replace(codes, codes=torch.lerp(codes.codes[before], codes.codes[after], weight))


def without_gaps(codes: LandmarkCodes, valid: np.ndarray) -> LandmarkCodes:
    """The codes [V,102] of the frames that have a face (bool [T]), for every frame up to the last of them.

    Points move straight across gaps, and wait for a face that comes later; so each frame keeps its time.
    Raises DvaError when the counts differ or there is no face at all.
    """
    frames = np.flatnonzero(valid)
    if len(frames) != len(codes.codes) or len(frames) == 0:
        raise DvaError(
            f"{len(codes.codes)} landmark codes do not fit {len(frames)} frames with a face; give those of one clip."
        )
    position = np.interp(np.arange(frames[-1] + 1), frames, np.arange(len(frames)))
    before, after = np.floor(position).astype(int), np.ceil(position).astype(int)
    weight = torch.from_numpy(position - before)[:, None].float()
    return replace(codes, codes=torch.lerp(codes.codes[before], codes.codes[after], weight))


def motion_in_step(
    codes: LandmarkCodes, valid: np.ndarray, rate: Fraction | float, onto: np.ndarray, onto_rate: Fraction | float
) -> LandmarkCodes:
    """The motion of one clip's faces for another clip's, at the same time since the start of both.

    codes: [V,102], of the frames with a face among `valid`, bool [T]. `onto`: bool [T2], those of the other clip, for
    which the result has a row each. Raises DvaError as `without_gaps` and `resample_motion` do.
    """
    motion = resample_motion(without_gaps(codes, valid), rate, len(onto), onto_rate)
    return replace(motion, codes=motion.codes[onto])


def with_motion(clip: EncodedClip, driver: LandmarkCodes, relative: bool = True) -> EncodedClip:
    """The clip driven by somebody else's landmark codes [T,102], one for each of its frames (`resample_motion`).

    `relative` gives the moving face the clip's own proportions: half of the difference of the two average faces, each
    made symmetric by its mirror image so that turned heads stay turned, is added to all codes, and the mouth goes twice
    as far from the clip's own as the driver's is. Without, codes are taken as they are (the paper's motion switch), and
    with them the proportions of the driver's face.
    How the head is tilted and where it is in the frame are not in the codes: crops stand upright.
    Raises DvaError for codes of another model or another number of frames.
    """
    _check_model(clip, driver.model, "motion")
    _check_count(clip, driver)
    if relative:
        own = clip.landmark_codes.codes
        codes = driver.codes + _PROPORTIONS * (_average_face(own) - _average_face(driver.codes))
        mouth = own[:, _MOUTH] + _MOUTH_GAIN * (codes - own)[:, _MOUTH]
        driver = replace(driver, codes=torch.cat([codes[:, : _MOUTH.start], mouth], dim=1))
    same = torch.equal(driver.codes, clip.landmark_codes.codes)
    return replace(clip, landmark_codes=driver, recombined=clip.recombined or not same)


def with_person(clip: EncodedClip, identity: Identity, motion: LandmarkCodes) -> EncodedClip:
    """Somebody else, who moves as `motion` [T,102] says, in everything else of `clip`: its x_T, light and surroundings.

    The background switch, seen from the surroundings: what comes out lies in the place of `clip`'s crops and is pasted
    into its frames. Decode it with that identity, of which the mean is kept.
    Raises DvaError for parts of another model, or another number of frames (`motion_in_step`).
    """
    _check_model(clip, identity.model, "identity")
    _check_model(clip, motion.model, "motion")
    _check_count(clip, motion)
    identity = identity.mean()
    same_person = torch.equal(identity.features, clip.identity.mean().features)
    same = same_person and torch.equal(motion.codes, clip.landmark_codes.codes)
    return replace(clip, identity=identity, landmark_codes=motion, recombined=clip.recombined or not same)


def with_random_noise(clip: EncodedClip, seed: int) -> EncodedClip:
    """The clip with noise for x_T: only who it is and how they move is left (Kim et al. 2023, Fig. 2).

    All frames share one noise map [3,S,S], so that what nobody described at least holds still. The crops have nothing
    in common with what comes out, so no detail of theirs may return: they are their own `unedited`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(clip.noise_maps.x_T.shape[1:], generator=generator).expand_as(clip.noise_maps.x_T)
    noise_maps = replace(clip.noise_maps, x_T=noise.contiguous(), solver=NO_SOLVER, stored=None)
    return replace(clip, noise_maps=noise_maps, unedited=clip.crops, recombined=True)


def _back_and_forth(position: Fraction, last: int) -> Fraction:
    """A position from 0 on, folded into 0..last."""
    if last == 0:
        return Fraction(0)
    position %= 2 * last
    return min(position, 2 * last - position)


def _average_face(codes: Tensor) -> Tensor:
    """Codes [T,102] -> [1,102]: their mean, which on average looks straight ahead together with its mirror image."""
    points = rearrange(codes.mean(dim=0, keepdim=True), "1 (n xy) -> n xy", xy=2)
    mirrored = points[list(_MIRRORED)] * points.new_tensor([-1, 1]) + points.new_tensor([1, 0])
    return rearrange((points + mirrored) / 2, "n xy -> 1 (n xy)")


def _check_model(clip: EncodedClip, model: str, what: str) -> None:
    if clip.noise_maps.model != model:
        raise DvaError(
            f"The clip was encoded by the model {clip.noise_maps.model} and the other {what} by {model}; encode both "
            "with one."
        )


def _check_count(clip: EncodedClip, codes: LandmarkCodes) -> None:
    if len(codes.codes) != len(clip.crops):
        raise DvaError(
            f"The motion has {len(codes.codes)} frames and the clip {len(clip.crops)}; bring it to that many first "
            "(resample_motion)."
        )
