"""Videos are written with their sound, whole or not at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dva_core.errors import DvaError
from dva_core.video import check_output, probe, read_frames, write_video

from .video_files import NTSC, SOUND_RATE, click, clicking_clip, codec_of_sound, heard, make_file, moving_square


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clicking_clip(tmp_path)


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24000, 1001), Fraction(12), Fraction(7191, 240)])
def test_written_frames_stand_at_regular_times_of_the_exact_rate(tmp_path, rate):
    write_video(tmp_path / "out.mp4", moving_square(), rate)
    assert probe(tmp_path / "out.mp4").frame_rate == rate
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [n / rate for n in range(12)]


def test_written_colours_are_tagged_and_come_back(tmp_path):
    colours = [(200, 40, 40), (40, 180, 60), (60, 70, 210), (20, 20, 20), (250, 250, 250)]
    frame = np.concatenate([np.full((48, 16, 3), colour, np.uint8) for colour in colours], axis=1)
    write_video(tmp_path / "out.mp4", [frame] * 3, Fraction(25))
    for read in read_frames(tmp_path / "out.mp4"):
        for k, colour in enumerate(colours):
            assert np.abs(read[10:38, 16 * k + 5 : 16 * k + 11].astype(int) - colour).max() <= 4
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tags == (1, 1, 1, 1)


def test_an_odd_side_gets_its_last_line_twice(tmp_path):
    frames = [frame[:47, :63] for frame in moving_square(3)]
    write_video(tmp_path / "out.mp4", frames, Fraction(25))
    read = next(read_frames(tmp_path / "out.mp4"))
    assert read.shape == (48, 64, 3)
    assert np.abs(read[:47, :63].astype(int) - frames[0]).mean() < 4
    assert np.abs(read[47, :63].astype(int) - frames[0][46]).mean() < 6


def test_sound_is_kept_as_it_is(tmp_path, clip):
    write_video(tmp_path / "out.mp4", read_frames(clip), NTSC, audio_from=clip)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(audio=0) if p.size and float(p.pts * p.time_base) < 12 / NTSC]

    assert packets(tmp_path / "out.mp4") == packets(clip)
    assert heard(tmp_path / "out.mp4")[1] == pytest.approx(heard(clip)[1], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "written"),
    [("a.mkv", "aac", "aac"), ("a.ts", "aac", "aac"), ("a.mkv", "libopus", "aac"), ("a.avi", "pcm_s16le", "aac")],
)
def test_sound_of_other_containers_stays_in_step(tmp_path, name, codec, written):
    source = make_file(tmp_path / name, moving_square(), sound=click(0.45, at=0.2), sound_codec=codec)
    write_video(tmp_path / "out.mp4", read_frames(source), NTSC, audio_from=source)
    assert codec_of_sound(tmp_path / "out.mp4") == written
    assert heard(tmp_path / "out.mp4")[1] == pytest.approx(heard(source)[1], abs=3e-3)


def test_sound_ends_with_the_frames(tmp_path):
    source = make_file(tmp_path / "long.mp4", moving_square(60), sound=click(2.0, at=0.1))
    write_video(tmp_path / "out.mp4", list(read_frames(source))[:15], NTSC, audio_from=source)
    samples, begins = heard(tmp_path / "out.mp4")
    assert len(samples) / SOUND_RATE == pytest.approx(15 / NTSC, abs=0.03)
    assert begins == pytest.approx(0.1, abs=3e-3)


def test_a_source_without_sound_gives_a_silent_file(tmp_path):
    source = make_file(tmp_path / "mute.mp4", moving_square())
    write_video(tmp_path / "out.mp4", read_frames(source), NTSC, audio_from=source)
    assert not probe(tmp_path / "out.mp4").has_audio


def test_a_folder_gets_pictures_that_are_the_frames(tmp_path):
    frames = moving_square(3)
    write_video(tmp_path / "pictures", frames, Fraction(25))
    assert sorted(f.name for f in (tmp_path / "pictures").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(tmp_path / "pictures"), frames, strict=True))


# --- what cannot be written ---


def interrupted(frames: list[np.ndarray]):
    yield from frames
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["out.mp4", "pictures"])
def test_an_interruption_leaves_nothing_behind(tmp_path, clip, name):
    target = tmp_path / "results"
    target.mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_video(target / name, interrupted(moving_square(5)), NTSC, audio_from=clip)
    assert list(target.iterdir()) == []


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path, clip):
    before = clip.read_bytes()
    with pytest.raises(DvaError, match="Frame 1"):
        write_video(clip, [moving_square(1)[0], np.zeros((10, 10, 3), np.uint8)], NTSC)
    assert clip.read_bytes() == before


def test_outputs_that_cannot_be_are_refused(tmp_path, clip):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    (tmp_path / "link.mp4").symlink_to(clip)
    refused = {
        clip: "is the input itself",
        tmp_path / "link.mp4": "is the input itself",
        tmp_path / "out.webm": r"\.mp4",
        tmp_path / "full": "already has something",
        tmp_path / "full" / "mine.txt" / "out.mp4": "cannot be written",
    }
    for path, reason in refused.items():
        with pytest.raises(DvaError, match=reason):
            check_output(path, clip)
        with pytest.raises(DvaError, match=reason):
            write_video(path, moving_square(2), NTSC, audio_from=clip)
    check_output(tmp_path / "new" / "folder" / "out.mp4", clip)


def test_no_frames_make_no_file(tmp_path):
    with pytest.raises(DvaError, match="no frames"):
        write_video(tmp_path / "out.mp4", [], NTSC)
    assert list(tmp_path.iterdir()) == []
