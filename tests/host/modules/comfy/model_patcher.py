"""Stand-in for what carries a model between devices."""

from __future__ import annotations

import torch


class ModelPatcher:
    """Owns a module; where it lies is up to the host."""

    def __init__(self, model: torch.nn.Module, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model = model
        self.load_device = load_device
        self.offload_device = offload_device
        model.device = offload_device  # as in the host, which keeps notes in the module itself

    def is_dynamic(self) -> bool:
        return False

    def model_size(self) -> int:
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())


CoreModelPatcher = ModelPatcher
