"""Is the edited clip as steady as its source?"""

from __future__ import annotations

from comfy_api.latest import io, ui

from . import _host
from ._images import from_bytes, to_crops


class TemporalReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DVA_TemporalReport",
            display_name="Temporal Consistency Report",
            category="DVA",
            description="Measures whether the edited person stays one person over time, compared with the source, and "
            "how much of the picture the edit changed. The net that compares faces was trained on rendered ones.",
            search_aliases=["flicker", "TL-ID", "TG-ID", "metrics", "ssim"],
            is_output_node=True,
            inputs=[
                io.Image.Input("source_crops", tooltip="Aligned faces before the edit, from Align Faces."),
                io.Image.Input("edited_crops", tooltip="The same frames after it, from DDIM Decode."),
            ],
            outputs=[
                io.Image.Output("plot", tooltip="Likeness to the clip's mean face over time, before and after."),
                io.String.Output("report", tooltip="TL-ID and TG-ID (1 is as steady as the source), SSIM and PSNR."),
            ],
        )

    @classmethod
    def execute(cls, source_crops, edited_crops) -> io.NodeOutput:
        from ..dva_core.evaluation.steadiness import measure_steadiness, plot_steadiness

        found = measure_steadiness(to_crops(source_crops, "source_crops"), to_crops(edited_crops, "edited_crops"))
        plot = _host.on_output_device(from_bytes(plot_steadiness(found)[None]))
        return io.NodeOutput(plot, found.text, ui=ui.PreviewText(found.text))
