"""The command `dva`. PyTorch is imported by the commands that need it, so that `dva --help` answers at once."""

from .program import main

__all__ = ["main"]
