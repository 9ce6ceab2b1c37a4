"""Edits of an identity: each takes values and returns values, and changes nothing else."""

from .attributes import CELEBA_ATTRIBUTES, AttributeDirections, edit_identity, move_along

__all__ = ["CELEBA_ATTRIBUTES", "AttributeDirections", "edit_identity", "move_along"]
