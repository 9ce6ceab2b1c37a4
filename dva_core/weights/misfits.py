"""Whether the tensors of a file are those of a net."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

_LESS_PRECISE = (torch.float16, torch.bfloat16)


def first_misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], unbounded: Collection[str] = ()) -> str:
    """What is wrong with tensors that should have these names, shapes and kinds, in a few words; "" when they fit.

    Half precision will do for float32. Where numbers are expected they must be finite, but for those `unbounded`.
    """
    for name, wanted in expected.items():
        tensor = found.get(name)
        if tensor is None:
            missing = len(expected.keys() - found.keys())
            return f"{name} is missing" + (f", and {missing - 1} others" if missing > 1 else "")
        if tensor.shape != wanted.shape:
            return f"{name} is {list(tensor.shape)}, not {list(wanted.shape)}"
        halved = wanted.dtype == torch.float32 and tensor.dtype in _LESS_PRECISE
        if tensor.dtype != wanted.dtype and not halved:
            return f"{name} is {_plain(tensor.dtype)}, not {_plain(wanted.dtype)}"
        if tensor.is_floating_point() and name not in unbounded and not tensor.isfinite().all():
            return f"{name} holds numbers that are not finite"
    unknown = sorted(found.keys() - expected.keys())
    return f"{unknown[0]} is not part of the model" if unknown else ""


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
