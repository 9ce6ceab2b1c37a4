"""The small U-Net that the golden numbers were made with."""

from __future__ import annotations

from dataclasses import fields

from dva_core.unet import UNet, UNetConfig

from .golden import load_json, load_tensors

WEIGHT_PREFIX = "model."


def golden_unet() -> UNet:
    """The net of unet_small.json with the weights of unet_small.safetensors, in evaluation mode."""
    known = {field.name for field in fields(UNetConfig)}
    config = {key: value for key, value in load_json("unet_small.json")["config"].items() if key in known}
    unet = UNet(UNetConfig(**config))
    tensors = load_tensors("unet_small.safetensors")
    weights = {key.removeprefix(WEIGHT_PREFIX): t for key, t in tensors.items() if key.startswith(WEIGHT_PREFIX)}
    unet.load_state_dict(weights)
    return unet.eval()
