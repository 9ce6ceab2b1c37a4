"""Videos and folders of pictures are read upright, in order and in true colours, or refused in one sentence."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dva_core.errors import DvaError
from dva_core.video import probe, read_frames

from .video_files import NTSC, SOUND_RATE, click, clicking_clip, make_file, moving_square


def test_probe_tells_size_rate_length_and_sound(tmp_path):
    info = probe(clicking_clip(tmp_path))
    assert (info.width, info.height, info.frame_rate, info.frames) == (64, 48, NTSC, 12)
    assert (info.rotation, info.has_audio) == (0, True)
    assert info.duration == pytest.approx(12 / NTSC, abs=1e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
def test_every_container_gives_each_frame_once_and_in_order(tmp_path, name):
    frames = moving_square()
    path = make_file(tmp_path / name, frames)
    read = list(read_frames(path))
    assert probe(path).frame_rate == NTSC
    assert len(read) == len(frames)
    for got, want in zip(read, frames, strict=True):
        assert got.dtype == np.uint8 and got.shape == want.shape
        assert np.abs(got.astype(int) - want).mean() < 4


def with_display_matrix(path: Path, target: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A copy of an mp4 whose first track has another display matrix (a, b, c, d), as phones write it."""
    data = bytearray(path.read_bytes())
    version_at = data.find(b"tkhd") + 4
    at = version_at + 4 + (32 if data[version_at] == 1 else 20) + 16
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("matrix", "rotation", "turned"),
    [
        ((0, 1, -1, 0), 90, lambda frame: np.rot90(frame, -1)),
        ((-1, 0, 0, -1), 180, lambda frame: np.rot90(frame, 2)),
        ((0, -1, 1, 0), 270, lambda frame: np.rot90(frame, 1)),
        ((-1, 0, 0, 1), 0, lambda frame: frame[:, ::-1]),
        ((0, 1, 1, 0), 270, lambda frame: frame.transpose(1, 0, 2)),
    ],
)
def test_frames_come_upright(tmp_path, matrix, rotation, turned):
    stored = make_file(tmp_path / "stored.mp4", moving_square(2))
    phone = with_display_matrix(stored, tmp_path / "phone.mp4", matrix)
    want = turned(next(read_frames(stored)))
    got = next(read_frames(phone))
    assert np.array_equal(got, want)
    info = probe(phone)
    assert (info.height, info.width) == want.shape[:2]
    assert info.rotation == rotation


def test_pixels_come_square(tmp_path):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        output.mux(video.encode(av.VideoFrame.from_ndarray(moving_square(1)[0], format="rgb24")))
        output.mux(video.encode(None))
    assert next(read_frames(path)).shape == (48, 85, 3)
    assert probe(path).width == 85


def test_white_in_16_bits_is_white(tmp_path):
    path = tmp_path / "animation.mov"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("qtrle", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb555be"
        white = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24")
        output.mux(stream.encode(white.reformat(format="rgb555be")))
        output.mux(stream.encode(None))
    assert all((frame == 255).all() for frame in read_frames(path))


def test_a_varying_rate_becomes_constant_and_keeps_the_time_of_what_happens(tmp_path):
    stamps = [0, 40, 80, 120, 320, 360, 400, 440, 480, 500, 520, 560]  # a pause after 120 ms, a rush at 500 ms
    path = make_file(tmp_path / "phone.mp4", moving_square(12), rate=Fraction(25), stamps=stamps)
    rate = probe(path).frame_rate
    read = list(read_frames(path))
    assert len(read) == pytest.approx(0.6 * rate, abs=1)
    left_edges = [int(np.argmax(frame[16, :, 0] > 180)) for frame in read]
    for n, left in enumerate(left_edges):
        shown = (left - 4) / 2
        time = float(n / rate) * 1000
        due = max(k for k, stamp in enumerate(stamps) if stamp <= time + 500 / rate)
        assert abs(shown - due) <= 1


def test_a_folder_of_pictures_is_read_in_natural_order(tmp_path):
    for n in (10, 2, 1):
        Image.new("RGB", (6, 4), (n, 0, 0)).save(tmp_path / f"frame{n}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [frame[0, 0, 0] for frame in read_frames(tmp_path)] == [1, 2, 10]
    info = probe(tmp_path)
    assert (info.width, info.height, info.frames, info.frame_rate, info.has_audio) == (6, 4, 3, 25, False)


@pytest.mark.parametrize(("matrix", "full_range"), [(1, False), (5, False), (1, True), (5, True)])
def test_colours_are_read_by_the_files_own_matrix_and_range(tmp_path, matrix, full_range):
    colours = [(200, 40, 40), (40, 180, 60), (60, 70, 210), (128, 128, 128), (250, 250, 250)]
    frame = np.concatenate([np.full((48, 16, 3), colour, np.uint8) for colour in colours], axis=1)
    path = tmp_path / "tagged.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = 80, 48, "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = matrix, 2 if full_range else 1
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace="ITU709" if matrix == 1 else "ITU601",
            dst_color_range="JPEG" if full_range else "MPEG",
        )
        picture.pts = 0
        output.mux(video.encode(picture))
        output.mux(video.encode(None))
    read = next(read_frames(path))
    for k, colour in enumerate(colours):
        assert np.abs(read[10:38, 16 * k + 5 : 16 * k + 11].astype(int) - colour).max() <= 3


# --- what cannot be read ---


def damaged_files(folder: Path) -> dict[str, Path]:
    frames, sound = moving_square(40), click(1.3, at=0.2)
    index_first = make_file(folder / "first.mp4", frames, sound=sound, movflags="faststart").read_bytes()
    index_last = make_file(folder / "last.mp4", frames).read_bytes()
    mkv = make_file(folder / "whole.mkv", frames).read_bytes()
    contents = {
        "text": b"This is a letter, not a video.\n" * 40,
        "empty": b"",
        "junk": bytes(range(256)) * 64,
        "index cut off": index_last[: len(index_last) // 2],
        "half": index_first[: len(index_first) * 2 // 3],
        "last bytes missing": index_first[:-20],
    }
    files = {}
    for name, content in contents.items():
        files[name] = folder / f"{name}.mp4"
        files[name].write_bytes(content)
    files["half mkv"] = folder / "half.mkv"
    files["half mkv"].write_bytes(mkv[: len(mkv) // 2])
    files["sound only"] = folder / "sound.m4a"
    with av.open(str(files["sound only"]), "w", format="mp4") as output:
        audio = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
        samples = av.AudioFrame.from_ndarray(click(0.2, 0.1), format="flt", layout="mono")
        samples.sample_rate = SOUND_RATE
        output.mux(audio.encode(samples))
        output.mux(audio.encode(None))
    files["missing"] = folder / "missing.mp4"
    files["folder without pictures"] = folder / "nothing"
    files["folder without pictures"].mkdir()
    return files


def test_what_is_no_whole_video_is_told_in_one_sentence(tmp_path):
    for name, path in damaged_files(tmp_path).items():
        with pytest.raises(DvaError) as error:
            probe(path)
            list(read_frames(path))
        message = str(error.value)
        assert str(path) in message and "\n" not in message and message.endswith("."), name


def test_a_missing_file_is_told_before_the_first_frame_is_asked_for(tmp_path):
    with pytest.raises(DvaError, match="no file or folder"):
        read_frames(tmp_path / "missing.mp4")


def test_pictures_of_different_sizes_or_damaged_are_told_by_name(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "1.png")
    Image.new("RGB", (8, 4)).save(tmp_path / "2.png")
    with pytest.raises(DvaError, match=r"2\.png is 8 x 4"):
        list(read_frames(tmp_path))
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:-30])
    with pytest.raises(DvaError, match=r"2\.png cannot be read"):
        list(read_frames(tmp_path))
