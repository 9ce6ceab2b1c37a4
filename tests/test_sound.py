"""The sound of a file as numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from dva_core.errors import DvaError
from dva_core.video import read_sound

from .video_files import SOUND_RATE, click, make_file, moving_square

RATE = Fraction(25)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Half a second with a click after 0.3 seconds."""
    path = tmp_path_factory.mktemp("sound") / "clip.mp4"
    return make_file(path, moving_square(13), RATE, sound=click(0.5, at=0.3))


def test_sound_keeps_its_place_in_time(clip):
    waveform, rate = read_sound(clip, 0.5)
    assert rate == SOUND_RATE and waveform.shape == (1, SOUND_RATE // 2) and waveform.dtype == torch.float32
    loud = np.flatnonzero(waveform[0].abs().numpy() > 0.3) / rate
    assert loud.min() == pytest.approx(0.3, abs=0.01) and loud.max() == pytest.approx(0.35, abs=0.01)


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_sound_is_cut_or_filled_to_the_length_asked_for(clip, seconds):
    waveform, rate = read_sound(clip, seconds)
    assert waveform.shape[1] == seconds * rate


def test_a_clip_without_sound_is_silent(tmp_path):
    waveform, _ = read_sound(make_file(tmp_path / "still.mp4", moving_square(5), RATE), 0.2)
    assert waveform.abs().max() == 0 and waveform.shape[1] > 0


def test_a_file_that_is_none_is_a_sentence(tmp_path):
    with pytest.raises(DvaError, match="no file"):
        read_sound(tmp_path / "gone.mp4", 1)
