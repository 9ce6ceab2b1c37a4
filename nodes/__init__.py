"""ComfyUI nodes over `dva_core`: they translate and report, and leave the computing to the engine."""
