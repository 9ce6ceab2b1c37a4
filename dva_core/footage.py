"""The frames of a video file, and whose face is where in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .encoders import FaceDetector
from .errors import DvaError
from .faces.alignment import crop_faces, face_quads
from .faces.choosing import largest
from .faces.cuts import CutFinder
from .faces.detection import Embed, detect_faces
from .faces.points import follow_points, landmarks_from_points
from .faces.tracking import follow_faces, landmarks_to_track
from .progress import Cancel, Progress, Watch, never, silent
from .values import FaceTrack

FRAMES_AT_ONCE = 8


def find_face(
    model: DiffusionVideoAutoencoder, source: str | Path, *, detector: FaceDetector | None = None,
    progress: Progress = silent, cancelled: Cancel = never,
) -> FaceTrack:  # fmt: skip
    """Follows the largest face of a video. `detector`: the model's own when left out. Raises DvaError without faces."""
    tracks, _ = find_faces(model, source, detector=detector, progress=progress, cancelled=cancelled)
    return tracks[largest(tracks)]


def find_faces(
    model: DiffusionVideoAutoencoder, source: str | Path, *, detector: FaceDetector | None = None,
    progress: Progress = silent, cancelled: Cancel = never,
) -> tuple[list[FaceTrack], tuple[int, ...]]:  # fmt: skip
    """Everybody in a video, as `follow_faces` tells them, and the frames that begin a new shot."""
    info = video.probe(source)
    watch = Watch("find face", info.frames or 0, progress, cancelled)
    finder = CutFinder()
    frames = finder.watching(video.read_frames(source))
    detections = detect_faces(detector or model.detector, frames, FRAMES_AT_ONCE, watch, face_features(model))
    cuts = finder.cuts()
    return follow_faces(detections, info.height, info.width, info.frame_rate, cuts=cuts), cuts


def find_face_by_points(
    source: str | Path, points: Sequence[tuple[float, float]], *, progress: Progress = silent,
    cancelled: Cancel = never,
) -> tuple[FaceTrack, tuple[int, ...]]:  # fmt: skip
    """Follows a face through a video by points (x,y) in pixels of its first frame, to the end of the first shot.

    Returns its track and the frames that begin a new shot.

    As the picture shows them: the eye on the left, the eye on the right, the mouth's corner on the left and the one on
    the right; any others steady the motion. Needs no detector. Raises DvaError as `follow_points` does.
    """
    info = video.probe(source)
    finder = CutFinder()
    frames = finder.watching(video.read_frames(source))
    tracks = follow_points(frames, np.array(points, dtype=np.float64), progress=progress, cancelled=cancelled)
    cuts = finder.cuts()
    landmarks, valid = landmarks_from_points(tracks, cuts)
    return landmarks_to_track(landmarks, valid, info.height, info.width, info.frame_rate, cuts=cuts), cuts


def find_unless_known(
    model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack | None, detector: FaceDetector | None,
    progress: Progress = silent, cancelled: Cancel = never,
) -> tuple[FaceTrack, tuple[int, ...]]:  # fmt: skip
    """The given track, or that of the largest face and the frames that begin a new shot.

    DvaError when the given one has no frame with a face, or none is found.
    """
    if track is not None:
        if not track.valid.any():
            raise DvaError("The track has no frame with a face; give one of somebody who is seen.")
        return track, ()
    tracks, cuts = find_faces(model, source, detector=detector, progress=progress, cancelled=cancelled)
    return tracks[largest(tracks)], cuts


def face_features(model: DiffusionVideoAutoencoder) -> Embed:
    """Who faces are, by the model's identity net: each cut out of its frame by its own square, for `detect_faces`."""

    def embed(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        crops = crop_faces([frame] * len(landmarks), face_quads(landmarks), model.config.image_size)
        return model.encode_identity(crops).features.numpy()

    return embed


def track_part(track: FaceTrack, frames: slice | list[int]) -> FaceTrack:
    """The track of some of its frames."""
    return replace(track, landmarks=track.landmarks[frames], quads=track.quads[frames], valid=track.valid[frames])


def frames_with_track(
    source: str | Path, track: FaceTrack, at_once: int = FRAMES_AT_ONCE
) -> Iterator[tuple[np.ndarray, FaceTrack]]:
    """Frames uint8 [n,H,W,3], at most `at_once`, with their part of the track; DvaError when it is of another video."""
    another = DvaError(
        f"The track has {len(track.valid)} frames of {track.width} x {track.height} pixels, and {source} does not; "
        "give the track of this very video."
    )
    start = 0
    for frames in _batches(video.read_frames(source), at_once):
        stop = start + len(frames)
        if stop > len(track.valid) or frames.shape[1:3] != (track.height, track.width):
            raise another
        yield frames, track_part(track, slice(start, stop))
        start = stop
    if start != len(track.valid):
        raise another


def _batches(frames: Iterable[np.ndarray], at_once: int) -> Iterator[np.ndarray]:
    frames = iter(frames)
    while (first := next(frames, None)) is not None:
        batch, count = np.empty((at_once, *first.shape), first.dtype), 1
        batch[0] = first
        for count, frame in enumerate(islice(frames, at_once - 1), start=2):
            batch[count - 1] = frame  # at once, for a list of frames and their stack would be twice the memory
        yield batch[:count]
        del batch
