"""Two threads that pass things on: in order, not too far apart, and over when either ends."""

from __future__ import annotations

import threading
import time

import pytest

from dva_core.overlap import Abandoned, ahead, behind


def numbers(count: int, made: list[int], closed: list[bool]):
    try:
        for n in range(count):
            made.append(n)
            yield n
    finally:
        closed.append(True)


def settled(values: list) -> list:
    """The list once nothing has been added for a while."""
    count = -1
    while count != len(values):
        count = len(values)
        time.sleep(0.05)
    return values


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_items_made_ahead_come_in_order_and_only_a_few_ahead():
    made, closed = [], []
    with ahead(numbers(9, made, closed), most=2) as items:
        assert next(items) == 0
        assert settled(made) == [0, 1, 2, 3]  # one taken, two ready, one in the making
        assert list(items) == list(range(1, 9))
    assert closed == [True]


def test_who_makes_items_ends_with_who_takes_them():
    made, closed = [], []
    with pytest.raises(KeyboardInterrupt), ahead(numbers(100, made, closed)) as items:
        next(items)
        raise KeyboardInterrupt
    assert closed == [True] and len(made) <= 3


def test_an_error_comes_after_the_items_before_it():
    def broken():
        yield 1
        yield 2
        raise OSError("the end")

    taken = []
    with pytest.raises(OSError, match="the end"), ahead(broken(), most=5) as items:
        taken.extend(iter(lambda: next(items), None))
    assert taken == [1, 2]


def test_what_follows_behind_gets_all_items_before_the_block_is_over():
    used = []
    with behind(used.extend) as put:
        for n in range(5):
            put(n)
    assert used == list(range(5))


def test_an_error_behind_reaches_the_next_item_or_the_end():
    def full(items):
        next(items)
        raise OSError("no room")

    given = []
    with pytest.raises(OSError, match="no room"), behind(full) as put:
        for n in range(100):
            put(n)
            given.append(n)
    assert len(given) <= 3
    with pytest.raises(OSError, match="no room"), behind(full) as put:
        put(0)


def test_what_follows_behind_is_told_when_the_block_fails():
    told = []

    def use(items):
        try:
            list(items)
        except Abandoned:
            told.append("cleaned up")
            raise

    with pytest.raises(KeyboardInterrupt), behind(use) as put:
        put(1)
        raise KeyboardInterrupt
    assert told == ["cleaned up"]
