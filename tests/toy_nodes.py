"""A few nodes that do next to nothing, declared through whatever `comfy_api` there is."""

from __future__ import annotations


def toy_nodes() -> dict[str, type]:
    """Pictures from nowhere, brighter ones, a mixture, and a look at them."""
    import torch
    from comfy_api.latest import io, ui

    class Source(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="Toy_Source",
                display_name="Source",
                inputs=[
                    io.Int.Input("count", default=2, min=1, max=8),
                    io.Int.Input("seed", default=0, min=0, max=2**53 - 1, control_after_generate=True),
                    io.String.Input("label", default="", optional=True),
                ],
                outputs=[io.Image.Output("images"), io.Float.Output("fps")],
            )

        @classmethod
        def execute(cls, count, seed, label="") -> io.NodeOutput:
            return io.NodeOutput(torch.full((count, 4, 4, 3), seed / 10), 25.0)

    class Brighten(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="Toy_Brighten",
                inputs=[
                    io.Image.Input("images"),
                    io.Float.Input("amount", default=0.5, min=-1.0, max=1.0),
                    io.Combo.Input("mode", options=["add", "multiply"], default="add"),
                    io.Mask.Input("mask", optional=True),
                    io.Float.Input("fps", optional=True, force_input=True),
                ],
                outputs=[io.Image.Output("images")],
            )

        @classmethod
        def execute(cls, images, amount, mode, mask=None, fps=25.0) -> io.NodeOutput:
            return io.NodeOutput(images + amount if mode == "add" else images * amount)

    class Mix(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="Toy_Mix",
                inputs=[io.Image.Input("one"), io.Image.Input("other")],
                outputs=[io.Image.Output("images")],
            )

        @classmethod
        def execute(cls, one, other) -> io.NodeOutput:
            return io.NodeOutput((one + other) / 2)

    class Show(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(node_id="Toy_Show", is_output_node=True, inputs=[io.Image.Input("images")])

        @classmethod
        def execute(cls, images) -> io.NodeOutput:
            return io.NodeOutput(ui=ui.PreviewImage(images[:1]))

    return {cls.GET_SCHEMA().node_id: cls for cls in (Source, Brighten, Mix, Show)}
