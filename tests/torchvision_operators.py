"""Lets torchvision be imported where its compiled operators do not load.

A torchvision built for CUDA does not find its libraries beside a PyTorch built for the CPU, and then fails on import
because it describes two operators that nobody declared. Nothing here uses those operators: declaring them is enough.
"""

from __future__ import annotations

import torch

_DECLARED: list[torch.library.Library] = []  # a declaration goes when its library does


def declare_missing_operators() -> None:
    """Declares nms and qnms unless torchvision can do so itself."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(name + signature)
        _DECLARED.append(operators)
    except ImportError:
        pass
