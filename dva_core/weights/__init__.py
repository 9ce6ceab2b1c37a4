"""Models as single files, and the weight files that others publish."""
