"""The list of nodes that ComfyUI registers."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    _host,
    align,
    curve,
    ddim,
    detector,
    edit,
    identity,
    mask,
    mixing,
    model,
    paste,
    points,
    report,
    sweep,
    text,
)

NODES: list[type[io.ComfyNode]] = [
    model.LoadModel,
    model.DemoClip,
    detector.LoadFaceDetector,
    align.AlignFaces,
    points.TrackFaceByPoints,
    mask.FaceMask,
    identity.EncodeIdentity,
    identity.AverageIdentities,
    identity.SaveIdentity,
    identity.LoadIdentity,
    identity.EncodeLandmarks,
    ddim.Invert,
    ddim.SaveNoise,
    ddim.LoadNoise,
    ddim.Decode,
    edit.EditAttribute,
    edit.PreserveAttributes,
    curve.EditCurve,
    sweep.SweepStrengths,
    text.LoadClip,
    text.FindTextEdit,
    text.ApplyTextEdit,
    text.SaveShift,
    text.LoadShift,
    mixing.MixIdentities,
    mixing.TransferMotion,
    mixing.SwapBackground,
    paste.PasteBack,
    report.TemporalReport,
]


class DvaExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


def load_extension() -> ComfyExtension:
    """Registers the folder models/dva and gives the nodes to the host."""
    _host.register_model_folder()
    return DvaExtension()
