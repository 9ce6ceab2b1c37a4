"""Models as single files."""

from .bundle import load_model, save_bundle

__all__ = ["load_model", "save_bundle"]
