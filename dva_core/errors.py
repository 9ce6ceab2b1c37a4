"""The two exceptions that callers are meant to catch."""

from __future__ import annotations


class DvaError(ValueError):
    """Something the user can mend; the message says in one sentence what, where, and what to do."""


class Cancelled(Exception):
    """Raised out of a long stage when its `cancelled()` callable answered true."""
