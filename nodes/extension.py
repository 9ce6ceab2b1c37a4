"""The list of nodes that ComfyUI registers."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import _host, align, ddim, detector, edit, identity, mask, model, paste, points, report

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
