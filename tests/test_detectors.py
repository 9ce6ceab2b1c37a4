"""Faces by insightface and facexlib: what their own code makes of nets whose answers are known.

How well the real nets see is not tested here: their weights must not be passed on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dva_core.detectors.conversion import IBUG_IN_98, IBUG_IN_106
from dva_core.detectors.facexlib import load_facexlib
from dva_core.detectors.insightface import load_insightface
from dva_core.errors import DvaError
from dva_core.faces.points import MEAN_FACE

pytest.importorskip("facexlib")
pytest.importorskip("insightface")

from .onnx_files import write_arcface, write_detector, write_landmarks  # needs onnx
from .sentences import one_sentence

FACE = (MEAN_FACE - (0, 0.7)) / 4  # within -1..1
HALF_BOX = 60  # of insightface's stand-in, in detector pixels
RED, DIM_RED, BLUE, DIM_BLUE = (255, 0, 0), (190, 0, 0), (0, 0, 255), (0, 0, 170)

BOX = 80  # of facexlib's stand-in, in pixels
# Where the landmark net sees the 68 points, in cells of its 64 x 64 maps. Their box is as large as in its training, so
# that looking again in the square about them changes nothing.
CELLS = np.rint(31.5 + 20.9 * (MEAN_FACE - (0, 0.7175))).astype(int)


@pytest.fixture(params=["68", "106"])
def pack(request, tmp_path) -> Path:
    """A pack of insightface's with one of the two landmark nets, and a net that is of no use here."""
    write_detector(tmp_path / "det.onnx", HALF_BOX)
    if request.param == "68":
        write_landmarks(tmp_path / "1k3d68.onnx", FACE)
        write_landmarks(tmp_path / "2d106det.onnx", np.zeros((106, 2)))
    else:
        write_landmarks(tmp_path / "2d106det.onnx", _in_106(FACE))
    write_arcface(tmp_path / "w600k_r50.onnx")
    return tmp_path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """facexlib's detector and landmark net with weights that find what is painted blue."""
    folder = tmp_path_factory.mktemp("facexlib")
    _save_retinaface(folder / "detection_mobilenet0.25_Final.pth")
    _save_fan(folder / "alignment_WFLW_4HG.pth")
    return folder / "detection_mobilenet0.25_Final.pth", folder / "alignment_WFLW_4HG.pth"


def test_insightface_finds_each_face_where_it_is_best_first(pack):
    frames = np.zeros((2, 480, 640, 3), dtype=np.uint8)
    frames[1, 128:160, 160:192] = DIM_RED
    frames[1, 256:288, 448:480] = RED
    none, two = load_insightface(pack).detect(frames)
    assert none.boxes.shape == (0, 4) and none.landmarks.shape == (0, 68, 2)
    # insightface shows its landmark net 1.5 times the box; its detector's cells lie on whole numbers.
    expected = np.array([[448, 256], [160, 128]])[:, None] + FACE * 1.5 * HALF_BOX
    np.testing.assert_allclose(two.landmarks, expected, atol=0.05)
    np.testing.assert_allclose(two.boxes, np.concatenate([expected.min(1), expected.max(1)], axis=1), atol=0.05)
    assert 1 >= two.scores[0] > two.scores[1] > 0.5


@pytest.mark.parametrize("scale", [0.5, 2])
def test_insightface_takes_frames_of_any_size(pack, scale):
    frame = torch.zeros(1, int(480 * scale), int(640 * scale), 3, dtype=torch.uint8)
    frame[0, int(256 * scale) : int(288 * scale), int(448 * scale) : int(480 * scale)] = torch.tensor(RED)
    (faces,) = load_insightface(pack).detect(frame)
    expected = scale * (np.array([448, 256]) + FACE * 1.5 * HALF_BOX)
    np.testing.assert_allclose(faces.landmarks, expected[None], atol=0.05 * scale)


def test_insightface_looks_again_from_further_away_for_a_face_that_fills_the_frame(pack):
    (faces,) = load_insightface(pack).detect(np.full((1, 320, 320, 3), RED, dtype=np.uint8))
    assert len(faces.scores)


def test_insightface_says_what_a_pack_lacks(pack, tmp_path):
    with pytest.raises(DvaError, match=r"There is no folder .*nowhere; unpack insightface's pack"):
        load_insightface(tmp_path / "nowhere")
    for net in pack.glob("*d*.onnx"):
        if net.name != "det.onnx":
            net.unlink()
    with pytest.raises(DvaError, match=r"holds no landmark net \(1k3d68.onnx or 2d106det.onnx"):
        load_insightface(pack)
    (pack / "det.onnx").unlink()
    with pytest.raises(DvaError, match=r"holds no detector .* and no landmark net"):
        load_insightface(pack)


@pytest.mark.parametrize("content", [b"404: Not Found", b"", None], ids=["text", "empty", "truncated"])
def test_insightface_names_a_damaged_file(pack, content):
    whole = (pack / "det.onnx").read_bytes()
    (pack / "det.onnx").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DvaError, match=r"det\.onnx cannot be read as an ONNX net"):
        load_insightface(pack)


def test_facexlib_finds_each_face_where_it_is_best_first(files):
    frames = np.zeros((2, 240, 320, 3), dtype=np.uint8)
    frames[1, 96:104, 64:72] = DIM_BLUE
    frames[1, 120:128, 200:208] = BLUE
    frames[1, 40:48, 280:288] = RED
    none, two = load_facexlib(*files).detect(frames)
    assert none.boxes.shape == (0, 4) and none.landmarks.shape == (0, 68, 2)
    expected = np.array([[203.5, 123.5], [67.5, 99.5]])[:, None] + _in_square(BOX)
    np.testing.assert_allclose(two.landmarks, expected, atol=_cell(BOX))
    np.testing.assert_allclose(two.boxes, np.concatenate([two.landmarks.min(1), two.landmarks.max(1)], axis=1))
    assert 1 >= two.scores[0] > two.scores[1] > 0.5


def test_facexlib_takes_frames_larger_than_its_detector_looks_at(files):
    frame = torch.zeros(1, 720, 1280, 3, dtype=torch.uint8)
    frame[0, 320:336, 640:656] = torch.tensor(BLUE)
    (faces,) = load_facexlib(*files).detect(frame)
    expected = np.array([647.5, 327.5]) + _in_square(2 * BOX)
    np.testing.assert_allclose(faces.landmarks, expected[None], atol=_cell(2 * BOX))


def test_facexlib_makes_floating_point_numbers_of_one_large_frame_at_a_time(files):
    frames, detector = torch.zeros(8, 1440, 2560, 3, dtype=torch.uint8), load_facexlib(*files)
    with torch.profiler.profile(profile_memory=True) as profile:
        detector.detect(frames)
    assert max(event.cpu_memory_usage for event in profile.events()) < 2 * 4 * frames[0].numel()


def test_facexlib_reads_weights_of_an_old_pytorch_and_several_gpus(files, tmp_path):
    weights = {f"module.{name}": value for name, value in torch.load(files[0]).items()}
    torch.save(weights, tmp_path / "detector.pth", _use_new_zipfile_serialization=False)
    load_facexlib(tmp_path / "detector.pth", files[1])
    uncounted = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    torch.save(uncounted, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    load_facexlib(tmp_path / "older.pth", files[1])


def test_facexlib_says_what_is_wrong_with_a_file(files, tmp_path):
    detector, alignment = files
    with pytest.raises(DvaError, match=r"There is no file .*nowhere\.pth"):
        load_facexlib(tmp_path / "nowhere.pth", alignment)
    with one_sentence("WFLW_4HG.pth does not hold the weights of facexlib's RetinaFace"):
        load_facexlib(alignment, alignment)
    with one_sentence("mobilenet0.25_Final.pth does not hold the weights of facexlib's FAN"):
        load_facexlib(detector, detector)
    weights = torch.load(detector)
    del weights["BboxHead.0.conv1x1.bias"]
    torch.save(weights, tmp_path / "incomplete.pth")
    with one_sentence("incomplete.pth", "facexlib's RetinaFace (BboxHead.0.conv1x1.bias is missing)"):
        load_facexlib(tmp_path / "incomplete.pth", alignment)


@pytest.mark.parametrize(
    ("value", "said"),
    [(torch.full((4,), torch.nan), "not finite"), (torch.zeros(4, dtype=torch.int64), "int64, not float32")],
    ids=["nan", "kind"],
)
def test_facexlib_takes_no_numbers_that_make_no_sense(files, tmp_path, value, said):
    weights = torch.load(files[0])
    name = "BboxHead.0.conv1x1.bias"
    weights[name] = value.repeat(2)
    torch.save(weights, tmp_path / "detector.pth")
    with one_sentence("detector.pth", name, said):
        load_facexlib(tmp_path / "detector.pth", files[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"404: Not Found", "holds no weights"), (b"", "is empty"), (None, "is cut off")],
    ids=["text", "empty", "truncated"],
)
def test_facexlib_wants_whole_files(files, tmp_path, content, said):
    whole = files[0].read_bytes()
    (tmp_path / "detector.pth").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with one_sentence("detector.pth", said):
        load_facexlib(tmp_path / "detector.pth", files[1])


def test_facexlib_runs_nothing_that_a_file_brings(files, tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "program.pth")
    with pytest.raises(DvaError, match=r"program.pth names torch.nn.modules.linear.Linear"):
        load_facexlib(tmp_path / "program.pth", files[1])


def _in_106(face: np.ndarray) -> np.ndarray:
    points = np.zeros((106, 2))
    points[IBUG_IN_106] = face
    return points


def _in_square(box: float) -> np.ndarray:
    """The 68 points about the middle of a box with sides of `box` pixels."""
    return (CELLS + 0.5 - 32) * _cell(box)


def _cell(box: float) -> float:
    """A cell of the landmark net's maps, in pixels of the frame."""
    return 1.344 * box / 64


def _save_retinaface(path: Path) -> None:
    """RetinaFace that takes every 8th pixel of every 8th row for a face if it is blue, and more surely if brighter."""
    from facexlib.detection.retinaface import RetinaFace

    net = RetinaFace("mobile0.25", device="cpu")
    weights = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    wide, norms = [f"body.stage1.{i}" for i in range(1, 6)], ["body.stage1.0.1", "fpn.output1.1", "fpn.merge1.1"]
    seen = ["body.stage1.0.0", *(f"{unit}.0" for unit in wide), "fpn.merge1.0", "ssh1.conv3X3.0"]
    for name in seen:
        weights[f"{name}.weight"][0, 0, 1, 1] = 1
    for name in ("fpn.output1.0", *(f"{unit}.3" for unit in wide)):
        weights[f"{name}.weight"][0, 0] = 1
    for name in (*norms, "ssh1.conv3X3.1", *(f"{unit}.{i}" for unit in wide for i in (1, 4))):
        weights[f"{name}.weight"][0] = 1
    for name in weights:
        if name.endswith("running_var"):
            weights[name].fill_(1)
    # Each head speaks of two anchors in turn; of no face, then of a face. Only the first one, 16 pixels wide, sees any.
    weights["ClassHead.0.conv1x1.weight"][1, 0] = 0.1
    weights["ClassHead.0.conv1x1.bias"].copy_(torch.tensor([0.0, -5, 20, 0]))
    for level in (1, 2):
        weights[f"ClassHead.{level}.conv1x1.bias"].copy_(torch.tensor([20.0, 0, 20, 0]))
    weights["BboxHead.0.conv1x1.bias"][2:4] = np.log(BOX / 16) / 0.2
    torch.save(weights, path)


def _save_fan(path: Path) -> None:
    """FAN that sees the landmarks in CELLS of whatever it looks at: its last hourglass knows where each cell is."""
    from facexlib.alignment.awing_arch import FAN

    with torch.device("meta"):
        net = FAN(4, num_landmarks=98)
    # Zeros of any shape that take no room.
    weights = {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in net.state_dict().items()}
    weights |= {name: torch.ones(value.shape) for name, value in weights.items() if name.endswith("running_var")}
    places = torch.zeros(256, 261, 1, 1)
    places[0, 257] = places[1, 256] = 1  # after 256 features, the net is told its rows and its columns
    weights["m3.coordconv.conv.weight"] = places
    net.load_state_dict(weights, assign=True)
    with torch.no_grad():
        maps, _ = net.eval().m3(torch.zeros(1, 256, 64, 64), torch.zeros(1, 99, 64, 64))
    x, y = maps[0, 0, 0], maps[0, 1, :, 0]

    # Both grow from cell to cell, so a tent over each cell, 1 - |x - x0| - |y - y0|, is a sum of ramps.
    ramps, starts = torch.zeros(256, 256, 1, 1), torch.zeros(256)
    ramps[:128, 0] = ramps[128:, 1] = 1
    starts[:64], starts[64:128], starts[128:192], starts[192:] = -x, 20, -y, 20
    tents, heights = torch.zeros(99, 256, 1, 1), torch.zeros(99)
    for k, (column, row) in enumerate(_in_98(CELLS).tolist()):
        tents[k, [column, 128 + row]] = -2
        tents[k, [64, 192]] = 1
        heights[k] = 1 - x[column] - y[row] - 40
    weights |= {"conv_last3.weight": ramps, "conv_last3.bias": starts, "bn_end3.weight": torch.ones(256)}
    weights |= {"bn_end3.running_var": torch.full((256,), 1 - 1e-5), "l3.weight": tents, "l3.bias": heights}
    torch.save({"state_dict": weights}, path)


def _in_98(points: np.ndarray) -> np.ndarray:
    every = np.repeat(points[30:31], 98, axis=0)
    every[IBUG_IN_98[:, 0]] = every[IBUG_IN_98[:, 1]] = points
    return every
