"""Faces in frames: found, followed, cut out upright, and put back."""
