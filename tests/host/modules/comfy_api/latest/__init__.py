"""The moving version of the node API: `io` declares nodes, `ui` shows results, the rest is what videos are made of."""

from __future__ import annotations

from . import _io as io
from . import _ui as ui
from ._extension import ComfyExtension
from ._video import Input, InputImpl, Types

__all__ = ["ComfyExtension", "Input", "InputImpl", "Types", "io", "ui"]
