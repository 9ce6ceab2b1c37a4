"""Video in and out, on small real files that the tests make."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dva_core.errors import DvaError
from dva_core.video import check_output, probe, read_frames, write_video

NTSC = Fraction(30000, 1001)
SOUND_RATE = 48000


def moving_square(count: int = 12, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A bright square that goes right by two pixels a frame, over a smooth background."""
    y, x = np.mgrid[:height, :width]
    background = np.stack([60 + x, 80 + y, 120 + 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
    frames = []
    for n in range(count):
        frame = background.copy()
        frame[8:24, 4 + 2 * n : 20 + 2 * n] = (230, 200, 60)
        frames.append(frame)
    return frames


def click(seconds: float, at: float) -> np.ndarray:
    """Silence with 50 ms of a loud tone: float32 [1,samples]."""
    t = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (np.sin(2 * np.pi * 1000 * t) * ((t >= at) & (t < at + 0.05)) * 0.8).astype(np.float32)[None]


def make_file(
    path: Path,
    frames: list[np.ndarray],
    rate: Fraction = NTSC,
    sound: np.ndarray | None = None,
    sound_codec: str = "aac",
    stamps: list[int] | None = None,
    **options: str,
) -> Path:
    """Frames and sound by PyAV directly; stamps, in ticks of 1/1000 s, make the frame rate vary."""
    with av.open(str(path), "w", options=options) as output:
        video = output.add_stream("libx264", rate=rate, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        tick = 1 / rate
        if stamps:
            tick = video.codec_context.time_base = Fraction(1, 1000)
        audio = output.add_stream(sound_codec, rate=SOUND_RATE, layout="mono") if sound is not None else None
        for n, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = (stamps[n] if stamps else n), tick
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            output.mux(audio.encode(samples))
            output.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[np.ndarray, float]:
    """The sound of a file on a clock that starts with its first frame, and the time when it first gets loud."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        origin = float((video.start_time or 0) * video.time_base)
        pieces = [(frame.time - origin, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    start = pieces[0][0]
    samples = np.concatenate([piece for _, piece in pieces])
    return samples, start + np.argmax(np.abs(samples) > 0.1) / SOUND_RATE


def codec_of_sound(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_file(tmp_path / "clip.mp4", moving_square(), sound=click(0.45, at=0.2))


# --- reading ---


def test_probe_tells_size_rate_length_and_sound(clip):
    info = probe(clip)
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


# --- writing ---


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
