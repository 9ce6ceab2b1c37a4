"""The class that a node's methods see as `cls`: a locked copy, so that no call can leave state behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def locked(cls: type, hidden: Mapping[str, Any] | None = None) -> type:
    """A copy of a node class that refuses to be written to; `hidden` are the values it asked the host for."""

    def refuse(target: Any, name: str, value: Any) -> None:
        raise AttributeError(f"locked class: {cls.__name__}.{name} cannot be set while the node runs")

    from comfy_api.latest import io

    wanted = {each.name: (hidden or {}).get(each.name) for each in cls.GET_SCHEMA().hidden}
    meta = type("Locked", (type(cls),), {"__setattr__": refuse})
    return meta(cls.__name__, (cls,), {"hidden": io.HiddenHolder(**wanted), "__setattr__": refuse})
