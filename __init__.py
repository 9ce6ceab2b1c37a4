"""ComfyUI imports this folder as a custom node pack; the engine itself is the package `dva_core` inside it.

Neither PyTorch nor ComfyUI is imported here: whoever only looks at the folder should not have to wait for them.
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension that ComfyUI registers; the nodes are imported only now."""
    from .nodes.extension import load_extension

    return load_extension()
