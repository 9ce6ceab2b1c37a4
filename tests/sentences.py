"""What an error message must be like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dva_core.errors import DvaError


@contextmanager
def one_sentence(*words: str) -> Iterator[None]:
    """The block raises a DvaError of one line, with a full stop, that holds all these words."""
    with pytest.raises(DvaError) as raised:
        yield
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) <= 800
    for word in words:
        assert word in message
