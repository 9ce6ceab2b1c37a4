"""Loading the pack as the server does, and asking nodes what they are."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACK = "/some where/custom_nodes/comfyui-dva"
"""The name under which the pack is imported: the server takes the folder's path. Only relative imports survive that."""
ENGINE = "dva_core"


class PackRefused(Exception):
    """The server would not register the pack's nodes."""


def load_pack(root: Path) -> dict[str, type]:
    """The node classes of the pack in the folder `root`, by their ids."""
    spec = importlib.util.spec_from_file_location(PACK, root / "__init__.py", submodule_search_locations=[str(root)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    with engine_out_of_reach():
        spec.loader.exec_module(module)
        if getattr(module, "NODE_CLASS_MAPPINGS", None) is not None:
            raise PackRefused("NODE_CLASS_MAPPINGS is there, even if empty: the entry point would never be called")
        classes = asyncio.run(_entered(module))
        return {cls.GET_SCHEMA().node_id: cls for cls in classes}


def core_nodes() -> dict[str, type]:
    """Stand-ins for the nodes of ComfyUI that the shipped workflows use."""
    modules = [importlib.import_module(name) for name in ("nodes", "comfy_extras.nodes_video")]
    return {cls.GET_SCHEMA().node_id: cls for module in modules for cls in module.NODES}


def object_info(classes: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """What the server tells about the nodes at /object_info."""
    return {name: cls.GET_NODE_INFO_V1() for name, cls in classes.items()}


@contextmanager
def engine_out_of_reach() -> Iterator[None]:
    """Where ComfyUI runs, the engine is no installed package; `import dva_core` must not pass here either."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == ENGINE}
    sys.modules[ENGINE] = None
    try:
        yield
    finally:
        del sys.modules[ENGINE]
        sys.modules.update(hidden)


async def _entered(module: Any) -> list[type]:
    from comfy_api.latest import ComfyExtension

    extension = module.comfy_entrypoint()
    if inspect.isawaitable(extension):
        extension = await extension
    if not isinstance(extension, ComfyExtension):
        raise PackRefused(f"comfy_entrypoint returned a {type(extension).__name__}, not a ComfyExtension")
    await extension.on_load()
    classes = await extension.get_node_list()
    if not isinstance(classes, list):
        raise PackRefused(f"get_node_list returned a {type(classes).__name__}, not a list")
    return classes
