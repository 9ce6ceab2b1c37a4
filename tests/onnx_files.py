"""Tiny ONNX nets in insightface's own formats, of which one knows what they find; its own code opens them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
THUMBNAIL = 16  # the stand-in for ArcFace gives the red and the green of a picture this small


def write_detector(path: Path, half_side: float) -> None:
    """An SCRFD detector with five points: a face is a cell of 32 pixels that is redder than the whole picture.

    By how much, 0..1, is its score; its box reaches `half_side` detector pixels to each side of the cell's corner.
    """
    nodes, weights, outputs = [], {"zero": np.float32(0), "last": np.array([-1, 1])}, []
    nodes += [
        helper.make_node("Gather", ["pictures", "first"], ["red"], axis=1),
        helper.make_node("Mul", ["red", "half"], ["centred"]),
        helper.make_node("Add", ["centred", "half"], ["bright"]),
        helper.make_node("ReduceMean", ["bright"], ["usual"], axes=[1, 2], keepdims=1),
        helper.make_node("Sub", ["bright", "usual"], ["striking"]),
        helper.make_node("Unsqueeze", ["striking", "one"], ["plane"]),
    ]
    weights |= {"first": np.array(0), "half": np.float32(0.5), "one": np.array([1])}
    for stride in STRIDES:
        share = "zero" if stride < 32 else "whole"
        nodes += [
            helper.make_node("AveragePool", ["plane"], [f"m{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("Reshape", [f"m{stride}", "last"], [f"cells{stride}"]),
            helper.make_node("Mul", [f"cells{stride}", share], [f"seen{stride}"]),
            # Two anchors stand on each cell; only the first of them ever sees a face.
            helper.make_node("Mul", [f"cells{stride}", "zero"], [f"blind{stride}"]),
            helper.make_node("Concat", [f"seen{stride}", f"blind{stride}"], [f"both{stride}"], axis=1),
            helper.make_node("Reshape", [f"both{stride}", "last"], [f"score{stride}"]),
            helper.make_node("Mul", [f"score{stride}", "zero"], [f"none{stride}"]),
            helper.make_node("Add", [f"none{stride}", f"sides{stride}"], [f"box{stride}"]),
            helper.make_node("Add", [f"none{stride}", "points"], [f"kps{stride}"]),
        ]
        weights[f"sides{stride}"] = np.full((1, 4), half_side / stride, dtype=np.float32)
    weights |= {"whole": np.float32(1), "points": np.zeros((1, 10), dtype=np.float32)}
    for name, width in (("score", 1), ("box", 4), ("kps", 10)):
        outputs += [(f"{name}{stride}", (None, width)) for stride in STRIDES]
    _write(path, nodes, weights, ("pictures", (1, 3, "height", "width")), outputs)


def write_landmarks(path: Path, points: np.ndarray) -> None:
    """A landmark net that finds `points` [106,2] or [68,2], in -1..1 of what it looks at, in every picture.

    68 points come as insightface's net gives them: the last of 1103, with a depth.
    """
    if len(points) == 68:
        rows = np.zeros((1103, 3), dtype=np.float32)
        rows[-68:] = np.concatenate([points, points[:, :1] * points[:, 1:]], axis=1)
    else:
        rows = np.asarray(points, dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["pictures"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "one"], ["column"]),
        helper.make_node("Add", ["column", "rows"], ["found"]),
    ]
    weights = {"zero": np.float32(0), "one": np.array([1]), "rows": rows.reshape(1, -1)}
    _write(path, nodes, weights, ("pictures", (None, 3, 192, 192)), [("found", (1, rows.size))])


def write_arcface(path: Path, features: int = 512) -> None:
    """In ArcFace's place: the 16 x 16 means of a picture's red and green, row by row, as its features."""
    side = 112 // THUMBNAIL
    nodes = [
        helper.make_node("AveragePool", ["pictures"], ["means"], kernel_shape=[side] * 2, strides=[side] * 2),
        helper.make_node("Flatten", ["means"], ["all"]),
        helper.make_node("Slice", ["all", "start", "end", "axis"], ["features"]),
    ]
    weights = {"start": np.array([0]), "end": np.array([features]), "axis": np.array([1])}
    _write(path, nodes, weights, ("pictures", (None, 3, 112, 112)), [("features", (None, features))])


def _write(path: Path, nodes: list, weights: dict, picture: tuple, outputs: list) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(picture[0], TensorProto.FLOAT, picture[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
