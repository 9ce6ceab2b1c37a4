"""Diffusion Video Autoencoders: edit who is seen in a face video and keep how they move.

The names below are the public ones. Each is loaded when it is first used, so that `import dva_core` is instant and
what needs no PyTorch gets by without it.
"""

from importlib import import_module

_HOMES = {
    "autoencoder": ("DiffusionVideoAutoencoder", "ModelConfig"),
    "editing.attributes": ("CELEBA_ATTRIBUTES", "edit_identity"),
    "editing.sweep": ("sweep_clip",),
    "editing.text": ("ShiftSearch", "TextEdit", "find_text_shift", "shift_identity"),
    "editing.timeline": ("Curve", "edit_over_time", "read_curve", "strengths_over"),
    "errors": ("Cancelled", "DvaError"),
    "detectors": ("DETECTORS", "load_detector"),
    "footage": ("find_face", "find_face_by_points", "find_faces"),
    "pipeline": ("decode_clip", "edit_clip", "encode_clip"),
    "published": ("PublishedResult", "edit_video_as_published"),
    "unet": ("UNet", "UNetConfig"),
    "values": ("EncodedClip", "FaceTrack", "Identity", "IdentityShift", "LandmarkCodes", "NoiseMaps"),
    "video_edit": ("EditResult", "edit_video"),
    "weights.bundle": ("load_model", "save_bundle"),
    "weights.released": ("convert_released",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'dva_core' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
