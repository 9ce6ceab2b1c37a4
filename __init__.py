"""ComfyUI imports this folder as a custom node pack; the engine itself is the package `dva_core` inside it.

Neither PyTorch nor ComfyUI is imported here: whoever only looks at the folder should not have to wait for them.
"""

NODE_CLASS_MAPPINGS: dict = {}
