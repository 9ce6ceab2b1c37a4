"""Stand-in for the core nodes that live outside of `nodes`."""
