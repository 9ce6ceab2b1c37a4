"""Stand-in for the parts of ComfyUI's run time that a node pack uses."""
