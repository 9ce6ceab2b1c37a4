"""A stand-in for ComfyUI 0.33, so that nodes can be loaded and run without it.

`installed(folder)` puts the modules of `modules/` in the place of the host's; `load_pack(root)` then imports the pack
as the server does, and `run_node(cls, **inputs)` runs a node with the server's checks. It stands in for what this pack
uses: no nodes that take lists or run once for each value of one, no lazy inputs, no expansion, no saving of files by
core nodes.
"""

from __future__ import annotations

from .installing import Host, install, installed, uninstall
from .loading import PackRefused, core_nodes, load_pack, object_info
from .running import NodeMisbehaved, execute, run_node
from .validating import InputRefused, Linked, checked

__all__ = [
    "Host",
    "InputRefused",
    "Linked",
    "NodeMisbehaved",
    "PackRefused",
    "checked",
    "core_nodes",
    "execute",
    "install",
    "installed",
    "load_pack",
    "object_info",
    "run_node",
    "uninstall",
]
