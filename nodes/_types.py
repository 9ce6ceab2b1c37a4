"""The pack's own sockets. What they carry are frozen values of `dva_core.values`, always on the CPU:

DVA_MODEL      HostedModel (`_host.py`): a DiffusionVideoAutoencoder that the host moves between devices
DVA_DETECTOR   FaceDetector: finds faces and their landmarks in whole frames
DVA_TRACK      FaceTrack: where one person's face is in every frame
DVA_IDENTITY   Identity: who it is, one row for the clip or one for each frame
DVA_LANDMARKS  LandmarkCodes: how the face moves, one row for each frame with a face
DVA_NOISE      EncodedClip: the noise maps, and the crops, identity and landmarks that they belong to
DVA_PRESERVE   tuple of str: attributes that an edit must not move
DVA_STRENGTHS  tuple of float: by how much to multiply an edit's strength, for each frame with a face
DVA_CLIP       HostedClip (`_host.py`): a CLIP, for finding text edits
DVA_SHIFT      IdentityShift: what a text edit has found
"""

from __future__ import annotations

from typing import Any, TypeVar

from comfy_api.latest import io

from ..dva_core.errors import DvaError

Model = io.Custom("DVA_MODEL")
Detector = io.Custom("DVA_DETECTOR")
Track = io.Custom("DVA_TRACK")
Identity = io.Custom("DVA_IDENTITY")
Landmarks = io.Custom("DVA_LANDMARKS")
Noise = io.Custom("DVA_NOISE")
Preserve = io.Custom("DVA_PRESERVE")
Strengths = io.Custom("DVA_STRENGTHS")
ClipModel = io.Custom("DVA_CLIP")
Shift = io.Custom("DVA_SHIFT")

Value = TypeVar("Value")


def expect(value: Any, kind: type[Value], name: str, source: str) -> Value:
    """The value, if it is what the input `name` needs; reroutes and other packs' nodes can bring anything."""
    if isinstance(value, kind):
        return value
    raise DvaError(f"The input '{name}' got a {type(value).__name__}; connect the {source}.")
