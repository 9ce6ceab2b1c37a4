"""Stand-in for ComfyUI's device and memory management: everything is on the CPU and nothing is ever short."""

from __future__ import annotations

from typing import Any

import torch

OOM_EXCEPTION = torch.OutOfMemoryError
PLENTY = 64 * 2**30

loaded: list[dict[str, Any]] = []
"""What was asked of load_models_gpu, in order: {"model", "memory_required"}."""
emptied: int = 0
"""How often soft_empty_cache was called."""

checks: int = 0
"""How often a node asked whether it should stop."""
cancel_at: int | None = None
"""The number of the check that stops the run; None lets it run."""


class InterruptProcessingException(BaseException):
    """The user pressed cancel. No Exception, so that nothing catches it by accident."""


def throw_exception_if_processing_interrupted() -> None:
    """Raises once when cancelling is due, and forgets it, as the host does."""
    global checks, cancel_at
    checks += 1
    if cancel_at is not None and checks >= cancel_at:
        cancel_at = None
        raise InterruptProcessingException


def interrupt_current_processing(value: bool = True) -> None:
    global cancel_at
    cancel_at = checks + 1 if value else None


def processing_interrupted() -> bool:
    return cancel_at is not None and checks + 1 >= cancel_at


def get_torch_device() -> torch.device:
    return torch.device("cpu")


def intermediate_device() -> torch.device:
    return torch.device("cpu")


def intermediate_dtype() -> torch.dtype:
    return torch.float32


def unet_offload_device() -> torch.device:
    return torch.device("cpu")


def text_encoder_device() -> torch.device:
    return torch.device("cpu")


def text_encoder_offload_device() -> torch.device:
    return torch.device("cpu")


def vae_device() -> torch.device:
    return torch.device("cpu")


def vae_offload_device() -> torch.device:
    return torch.device("cpu")


def is_device_cpu(device: torch.device) -> bool:
    return device.type == "cpu"


def should_use_fp16(device=None, model_params=0, prioritize_performance=True, manual_cast=False) -> bool:
    return False


def should_use_bf16(device=None, model_params=0, prioritize_performance=True, manual_cast=False) -> bool:
    return False


def get_free_memory(dev=None, torch_free_too: bool = False) -> int | tuple[int, int]:
    return (PLENTY, PLENTY) if torch_free_too else PLENTY


def get_total_memory(dev=None, torch_total_too: bool = False) -> int | tuple[int, int]:
    return (PLENTY, PLENTY) if torch_total_too else PLENTY


def load_models_gpu(
    models, memory_required=0, force_patch_weights=False, minimum_memory_required=None, force_full_load=False
) -> None:
    """Moves the models to their loading device; like the host, it leaves no weight with a gradient."""
    for patcher in models:
        patcher.model.to(patcher.load_device).requires_grad_(False)
        patcher.model.device = patcher.load_device
        loaded.append({"model": patcher, "memory_required": memory_required})


def soft_empty_cache(force: bool = False) -> None:
    global emptied
    emptied += 1


def is_oom(error: BaseException) -> bool:
    return isinstance(error, OOM_EXCEPTION)


def raise_non_oom(error: BaseException) -> None:
    if not is_oom(error):
        raise error
