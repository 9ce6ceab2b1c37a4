"""Putting the stand-in in the place of ComfyUI's modules, and taking it away again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .loading import PACK

MODULES = Path(__file__).parent / "modules"
TOP_LEVEL = {path.stem for path in MODULES.iterdir() if not path.name.startswith("_")}
IMPORTED = ("folder_paths", "comfy.utils", "comfy.model_management", "comfy.model_patcher", "comfy_api.latest")


@dataclass(frozen=True)
class Host:
    """An installed stand-in: its folders, and what nodes have told it or will be told by it."""

    root: Path
    management: ModuleType
    utils: ModuleType

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def progress(self) -> list[Any]:
        """Every step of every progress bar: .value, .total, .preview."""
        return self.utils.updates

    @property
    def loaded(self) -> list[dict[str, Any]]:
        """What was asked of load_models_gpu: {"model", "memory_required"}."""
        return self.management.loaded

    @property
    def cancel_checks(self) -> int:
        """How often nodes have asked whether to stop."""
        return self.management.checks

    @property
    def Interrupted(self) -> type[BaseException]:
        return self.management.InterruptProcessingException

    def cancel(self, after: int = 0) -> None:
        """Presses cancel: the check after the next `after` ones raises `Interrupted`."""
        self.management.cancel_at = self.management.checks + after + 1

    def forget(self) -> None:
        """Forgets recorded progress and loading, and a cancel that is still due."""
        self.utils.updates.clear()
        self.management.loaded.clear()
        self.management.checks, self.management.cancel_at = 0, None


def install(root: Path) -> Host:
    """From here on `import comfy`, `comfy_api`, `folder_paths` find the stand-in, whose folders lie below `root`."""
    there = sorted(TOP_LEVEL & set(sys.modules))
    if there:
        raise RuntimeError(f"{', '.join(there)} cannot be stood in for: imported already")
    sys.path.insert(0, str(MODULES))
    modules = {name: importlib.import_module(name) for name in IMPORTED}
    modules["folder_paths"].use(root)
    return Host(root, modules["comfy.model_management"], modules["comfy.utils"])


def uninstall() -> None:
    """Takes the stand-in away, and with it every pack that was loaded onto it."""
    sys.path.remove(str(MODULES))
    for name in list(sys.modules):
        if name.split(".")[0] in {*TOP_LEVEL, PACK}:
            del sys.modules[name]


@contextmanager
def installed(root: Path) -> Iterator[Host]:
    """The stand-in for as long as the block runs."""
    host = install(root)
    try:
        yield host
    finally:
        uninstall()
