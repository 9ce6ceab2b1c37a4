"""A headless browser that has ComfyUI open, and what its page thinks of a workflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = {"width": 1920, "height": 1080}
MILLISECONDS_TO_LOAD = 120_000
SHOW = """async (workflow) => {
    await window.app.loadGraphData(workflow)
    const {output} = await window.app.graphToPrompt()
    const types = window.app.graph.nodes.map((node) => node.type)
    await window.app.extensionManager.command.execute('Comfy.Canvas.FitView')
    return {output, unknown: types.filter((type) => !(type in window.LiteGraph.registered_node_types))}
}"""


@dataclass(frozen=True)
class Shown:
    """A workflow as the browser took it: in the server's form, and the node types that it does not know."""

    api: dict[str, dict]
    unknown: list[str]


@dataclass(frozen=True)
class Browser:
    """An open page; `errors` are the exceptions in its scripts."""

    page: Any
    errors: list[str]

    def show(self, workflow: dict[str, Any], screenshot: Path | None = None) -> Shown:
        """Opens a workflow, and takes a picture of the page."""
        found = self.page.evaluate(SHOW, workflow)
        if screenshot is not None:
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(1000)
            self.page.screenshot(path=screenshot)
        return Shown(found["output"], found["unknown"])


def executable() -> str | None:
    """A browser of this machine."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def opened(url: str, known_type: str) -> Iterator[Browser]:
    """A page of the server, once it has registered the node type."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Chromium's sandbox needs rights that a container seldom gives.
        chromium = play.chromium.launch(executable_path=executable(), args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport=SIZE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        # A truth value, because a class would be taken for a function to call.
        ready = f"!!(window.app?.graph && window.LiteGraph?.registered_node_types['{known_type}'])"
        page.wait_for_function(ready, timeout=MILLISECONDS_TO_LOAD)
        yield Browser(page, errors)
        chromium.close()
