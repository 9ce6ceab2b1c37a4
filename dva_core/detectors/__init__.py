"""Face detectors by libraries that not everybody has, for models without one of their own; nothing is downloaded."""

from .choosing import DETECTORS, installed_detector, load_detector, require_files

__all__ = ["DETECTORS", "installed_detector", "load_detector", "require_files"]
