"""Batches on their way from where examples are kept to the step that takes them.

What is in memory is fetched when a step asks for it. What is not is fetched ahead by a thread, while the steps before
are taken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from dlc.runtime.data.examples import Examples

if TYPE_CHECKING:
    from dlc.runtime.data.examples import Rows

_AHEAD = 4  # batches
_PATIENCE = 0.1  # seconds after which a thread looks whether it is still wanted


@contextmanager
def feed(examples: Examples, batches: Iterable[Rows]) -> Generator[Iterator[list[Tensor]]]:
    """The fields of each batch, in the order of the examples' own.

    What cannot be read is raised where its batch is asked for, not before. Nothing but what is asked for counts as
    taken: whoever goes on names the batch to start from.
    """
    if examples.held:
        yield ([*examples.fetch(rows).values()] for rows in batches)
        return
    ahead = _Ahead(examples, batches)
    try:
        yield iter(ahead)
    finally:
        ahead.close()


class _Ahead:
    """A thread that fetches batches into a queue which holds a few of them."""

    def __init__(self, examples: Examples, batches: Iterable[Rows]) -> None:
        self._examples, self._batches = examples, batches
        self._queue: queue.Queue[list[Tensor] | BaseException | None] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="batches", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[list[Tensor]]:
        while (found := self._queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def close(self) -> None:
        """Ends the thread, which drops what it has fetched."""
        self._closed.set()
        self._thread.join()

    def _fetch(self) -> None:
        try:
            for rows in self._batches:
                if not self._put([*self._examples.fetch(rows).values()]):
                    return
        except BaseException as error:
            self._put(error)
        else:
            self._put(None)

    def _put(self, found: list[Tensor] | BaseException | None) -> bool:
        """Waits for a place in the queue. Gives whether there is one, and still someone who takes from it."""
        while not self._closed.is_set():
            try:
                self._queue.put(found, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False
