"""Face detectors for real footage."""

from __future__ import annotations

from comfy_api.latest import io

from ..dva_core.detectors import DETECTORS
from ..dva_core.errors import DvaError
from . import _host
from ._types import Detector


class LoadFaceDetector(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_LoadFaceDetector",
            display_name="Load Face Detector",
            category="DVA",
            description="Loads a detector that finds faces in real footage, for Align Faces. Its weights are its "
            "authors' and are fetched by you; when some are missing, the error says what, from where and under which "
            "licence. ComfyUI's own Detect Face Landmarks (MediaPipe) works as well, and needs no package.",
            search_aliases=["insightface", "facexlib", "retinaface", "buffalo_l", "antelopev2", "face detection"],
            inputs=[
                io.Combo.Input(
                    "detector",
                    options=list(DETECTORS),
                    default=next(iter(DETECTORS)),
                    tooltip="insightface is quick and exact, but its weights are for non-commercial research only. "
                    "facexlib is slower; its weights are under MIT, learned from non-commercial data. Found in "
                    "models/insightface and models/facexlib.",
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu"],
                    default="auto",
                    tooltip="auto: the device that ComfyUI uses. cpu: leave the graphics card to other models.",
                    advanced=True,
                ),
            ],
            outputs=[Detector.Output("detector", tooltip="The detector, for Align Faces.")],
        )

    @classmethod
    def validate_inputs(cls, detector: str) -> bool | str:
        from ..dva_core.detectors import require_files

        try:
            require_files(detector, _host.weight_folders())
        except DvaError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, detector: str, device: str) -> io.NodeOutput:
        from ..dva_core.detectors import load_detector

        place = "cpu" if device == "cpu" else _host.computing_device()
        return io.NodeOutput(load_detector(detector, _host.weight_folders(), place))
