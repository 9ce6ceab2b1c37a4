"""One inversion, many edits: the slow part is done once, then everything that is wanted is decoded together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..errors import DvaError
from ..pipeline import decode_frames, evaluations_to_decode, frames_to_decode
from ..progress import Cancel, Progress, Watch, never, silent
from ..values import EncodedClip, Identity
from .detail import with_detail


def sweep_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, identities: Sequence[Identity], *, keep_detail: bool = True,
    keep_background: bool = True, detail_in_head: float | None = None, batch_size: int = 8,
    progress: Progress = silent, cancelled: Cancel = never,
) -> Tensor:  # fmt: skip
    """Decodes a clip of V frames with each of N identities (one row, or V): crops [N,V,3,S,S] in -1..1.

    Each is what `pipeline.decode_clip` makes of it, but batches run over edits and frames alike, so that even a single
    frame fills a GPU. Frames whose identity is the clip's own mean are not decoded again. Raises DvaError without
    identities, and as `decode_clip` does.
    """
    if not identities:
        raise DvaError("There is no identity to decode the clip with; give at least one.")
    codes = clip.landmark_codes
    z_face = torch.stack([model.face_latent(each, codes).expand(len(clip.crops), -1) for each in identities])
    rows = [
        (edit, frame)
        for edit, each in enumerate(z_face)
        for frame in frames_to_decode(model, clip, each, keep_detail).tolist()
    ]
    edit, frame = torch.tensor(rows, dtype=torch.int64).view(-1, 2).T
    watch = Watch("decode", len(rows) * evaluations_to_decode(clip), progress, cancelled)
    decoded = clip.unedited.repeat(len(identities), 1, 1, 1, 1)
    decoded[edit, frame] = decode_frames(
        model, clip, frame, z_face[edit, frame], keep_detail=keep_detail, keep_background=keep_background,
        detail_in_head=detail_in_head, batch_size=batch_size, watch=watch,
    )  # fmt: skip
    if keep_detail:
        decoded = torch.stack([with_detail(clip.crops, clip.unedited, each) for each in decoded])
    return decoded
