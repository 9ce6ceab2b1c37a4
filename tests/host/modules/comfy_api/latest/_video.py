"""Videos as they flow between nodes: a file that is decoded when asked, or frames with their sound and rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor


@dataclass
class VideoComponents:
    images: Tensor
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict | None = None
    alpha: Tensor | None = None


class VideoInput:
    """Anything that can give its components; saving and trimming are not stood in for."""

    def get_components(self) -> VideoComponents:
        raise NotImplementedError

    def get_dimensions(self) -> tuple[int, int]:
        height, width = self.get_components().images.shape[1:3]
        return width, height

    def get_frame_count(self) -> int:
        return len(self.get_components().images)

    def get_frame_rate(self) -> Fraction:
        return self.get_components().frame_rate

    def get_duration(self) -> float:
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_bit_depth(self) -> int:
        return 8

    def get_color_space(self) -> str:
        return "auto"


class VideoFromComponents(VideoInput):
    def __init__(self, components: VideoComponents, bit_depth: int = 8):
        self._components = components
        self._bit_depth = bit_depth

    def get_components(self) -> VideoComponents:
        return self._components

    def get_bit_depth(self) -> int:
        return self._bit_depth


class VideoFromFile(VideoInput):
    def __init__(self, file: str | Path):
        self._file = file

    def get_stream_source(self) -> str:
        return str(self._file)

    def get_components(self) -> VideoComponents:
        with av.open(self._file) as container:
            stream = container.streams.video[0]
            rate = Fraction(stream.average_rate)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return VideoComponents(torch.from_numpy(np.stack(frames)).float() / 255, rate, self._sound())

    def _sound(self) -> dict[str, Any] | None:
        with av.open(self._file) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            chunks = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
            waveform = torch.from_numpy(np.concatenate(chunks, axis=1))
            return {"waveform": waveform[None], "sample_rate": stream.rate}


class Input:
    """Types for annotations."""

    Image = Tensor
    Mask = Tensor
    Audio = dict
    Latent = dict
    Video = VideoInput


class InputImpl:
    VideoFromFile = VideoFromFile
    VideoFromComponents = VideoFromComponents


class Types:
    VideoComponents = VideoComponents
