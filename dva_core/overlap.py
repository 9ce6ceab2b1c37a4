"""Stages side by side: what is needed next is made in one thread, what is done is used up in another.

Few things lie between the threads, so that memory stays bounded. FFmpeg, PyTorch and NumPy let other threads run while
they work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@contextmanager
def ahead(items: Generator[Item, Any, Any], most: int = 1) -> Iterator[Iterator[Item]]:
    """The same items, made in a thread of their own: `most` lie ready before they are asked for.

    What `items` raises is raised where the item after the last good one is asked for. When the block ends, however it
    does, `items` is closed at its next item and the thread is over.
    """
    queue: _Queue[Item] = _Queue(most)

    def make() -> None:
        try:
            with closing(items):
                for item in items:
                    queue.put(item)
                    del item  # not to be held while the next one is made
            queue.end()
        except BaseException as error:
            queue.end(error)

    thread = Thread(target=make, daemon=True)
    thread.start()
    try:
        yield queue.items()
    finally:
        queue.close()
        thread.join()


@contextmanager
def behind(use: Callable[[Iterator[Item]], None], most: int = 1) -> Iterator[Callable[[Item], None]]:
    """Gives put(item); `use` gets the items as an iterator in a thread of its own, while `most` more may wait for it.

    A block that ends well waits until `use` has returned. What `use` raises is raised by the next put, or by the end
    of the block. Where the block itself raises, the iterator raises `Abandoned`, so that `use` can clean up.
    """
    queue: _Queue[Item] = _Queue(most)

    def follow() -> None:
        try:
            use(queue.items())
            queue.close()
        except BaseException as error:
            queue.close(error)

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield queue.put
        queue.end()
        thread.join()
    except BaseException:
        queue.close()
        raise
    finally:
        thread.join()
    if queue.error is not None:
        raise queue.error


class Abandoned(Exception):
    """There is nobody any more on the other side: what is being made is not wanted, what was promised does not come."""


class _Queue(Generic[Item]):
    """A few items on their way from one thread to one other, which may end early on either side."""

    def __init__(self, most: int) -> None:
        self.error: BaseException | None = None
        self._most, self._items = most, deque[Item]()
        self._changed = Condition()
        self._ended = self._closed = False

    def put(self, item: Item) -> None:
        """Waits for room. Raises what the other side ended with, or Abandoned when it just wants no more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._most or self._closed)
            if self._closed:
                raise self.error or Abandoned
            self._items.append(item)
            self._changed.notify_all()

    def items(self) -> Iterator[Item]:
        """Waits for each item, to the end. Raises what the other side ended with."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._closed)
                if self._closed:
                    raise self.error or Abandoned
                if not self._items:
                    if self.error is not None:
                        raise self.error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # not to be held while the next one is waited for

    def end(self, error: BaseException | None = None) -> None:
        """By the side that puts: there will be no more items, because of this error or because these are all."""
        self._finish(error, ended=True)

    def close(self, error: BaseException | None = None) -> None:
        """By either side: what is there is not wanted any more, because of this error or just so."""
        self._finish(error, closed=True)

    def _finish(self, error: BaseException | None, ended: bool = False, closed: bool = False) -> None:
        with self._changed:
            self.error = self.error or error
            self._ended, self._closed = self._ended or ended, self._closed or closed
            if self._closed:
                self._items.clear()
            self._changed.notify_all()
