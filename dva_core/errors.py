"""The two exceptions that callers are meant to catch, and how others are told in their sentences."""

from __future__ import annotations


class DvaError(ValueError):
    """Something the user can mend; the message says in one sentence what, where, and what to do."""


class Cancelled(Exception):
    """Raised out of a long stage when its `cancelled()` callable answered true."""


def first_line(error: BaseException) -> str:
    """What an error says, as part of a sentence: its first line without the end, or its kind when it says nothing."""
    lines = str(error).strip().splitlines()
    return (lines[0].rstrip(".: ") if lines else "") or type(error).__name__
