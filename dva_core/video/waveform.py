"""The sound of a file as numbers."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import sound
from .reading import reading

SILENT_RATE = 44_100


def read_sound(path: str | Path, seconds: float) -> tuple[Tensor, int]:
    """The first `seconds` of the sound that goes with a video's frames: float32 [channels,samples] in -1..1 and the
    samples per second. Silence where the file has none. Raises DvaError for files that cannot be read."""
    with sound.opened(path) as container:
        if container is None:
            return torch.zeros(1, round(float(seconds) * SILENT_RATE)), SILENT_RATE
        stream = container.streams.audio[0]
        rate = stream.codec_context.sample_rate
        resampler = av.AudioResampler(format="fltp", rate=rate)
        begins, parts = None, []
        with reading(Path(path)):
            for frame in container.decode(stream):
                if begins is None:
                    begins = float(frame.pts * frame.time_base - sound.origin(container))
                parts += [piece.to_ndarray() for piece in resampler.resample(frame)]
        parts += [piece.to_ndarray() for piece in resampler.resample(None)]
    waveform = torch.from_numpy(np.concatenate(parts, axis=1)).float()
    # Sound that begins before the first frame is cut, sound that begins after it comes after silence.
    lead = round((begins or 0.0) * rate)
    waveform = F.pad(waveform, (lead, 0)) if lead > 0 else waveform[:, -lead:]
    missing = round(float(seconds) * rate) - waveform.shape[1]
    return F.pad(waveform, (0, missing)) if missing > 0 else waveform[:, : missing or None], rate
