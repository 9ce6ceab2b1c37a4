"""Golden numbers: where they lie and how they are read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

DEFAULT_DIR = Path(__file__).parent / "data" / "golden"


def golden_path(name: str) -> Path:
    """The golden file called `name`, in $DVA_GOLDEN_DIR or, without it, in tests/data/golden."""
    return Path(os.environ.get("DVA_GOLDEN_DIR") or DEFAULT_DIR) / name


def load_json(name: str) -> Any:
    """The content of a golden .json file."""
    return json.loads(golden_path(name).read_text())


def load_tensors(name: str) -> dict[str, Tensor]:
    """All tensors of a golden .safetensors file, floats widened to float32 (weights are stored in half)."""
    tensors = load_file(golden_path(name))
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
