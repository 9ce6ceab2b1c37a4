"""One inversion, many edits: the slow part is done once, then everything that is wanted is decoded together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import ddim
from ..errors import DvaError
from ..pipeline import solve_clip
from ..progress import Cancel, Progress, Watch, never, silent
from ..values import EncodedClip, Identity
from .detail import with_detail


def sweep_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, identities: Sequence[Identity], *, keep_detail: bool = True,
    batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
) -> Tensor:  # fmt: skip
    """Decodes a clip of V frames with each of N identities (one row, or V): crops [N,V,3,S,S] in -1..1.

    Each is what `pipeline.decode_clip` makes of it, but batches run over edits and frames alike, so that even a single
    frame fills a GPU. Frames whose identity is the clip's own mean are not decoded again. Raises DvaError without
    identities, and as `decode_clip` does.
    """
    if not identities:
        raise DvaError("There is no identity to decode the clip with; give at least one.")
    z_face = torch.stack([model.face_latent(each, clip.landmark_codes) for each in identities])
    own = model.face_latent(clip.identity.mean(), clip.landmark_codes)
    edit, frame = (z_face != own).any(dim=-1).nonzero(as_tuple=True)
    steps, x_T = clip.noise_maps.steps, clip.noise_maps.x_T
    watch = Watch("decode", len(edit) * steps, progress, cancelled)
    decoded = clip.unedited.repeat(len(identities), 1, 1, 1, 1)
    decoded[edit, frame] = solve_clip(ddim.decode, model, x_T[frame], z_face[edit, frame], steps, batch_size, watch)
    if keep_detail:
        decoded = torch.stack([with_detail(clip.crops, clip.unedited, each) for each in decoded])
    return decoded
