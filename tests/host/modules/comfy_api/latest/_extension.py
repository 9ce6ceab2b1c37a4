"""What a pack's entry point returns."""

from __future__ import annotations


class ComfyExtension:
    async def on_load(self) -> None:
        """Called once, before the list of nodes is asked for."""

    async def get_node_list(self) -> list[type]:
        """The pack's node classes, in a real list."""
        raise NotImplementedError
