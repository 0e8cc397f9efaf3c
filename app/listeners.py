"""Who wants to be told: a list of callbacks where one that fails hurts nobody else."""

import logging
from collections.abc import Callable

Callback = Callable[..., object]
Unsubscribe = Callable[[], None]

log = logging.getLogger(__name__)


class Listeners:
    """Callbacks in the order they came."""

    def __init__(self) -> None:
        self._callbacks: dict[int, Callback] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(self, callback: Callback, *, when_empty: Callable[[], object] | None = None) -> Unsubscribe:
        """Add one; what is returned takes it away again (any number of times)."""
        key, self._next = self._next, self._next + 1
        self._callbacks[key] = callback

        def remove() -> None:
            if self._callbacks.pop(key, None) is not None and not self._callbacks and when_empty is not None:
                when_empty()

        return remove

    def call(self, *args: object) -> None:
        """Call each; an exception is logged and the rest goes on."""
        for callback in list(self._callbacks.values()):
            try:
                callback(*args)
            except Exception:
                log.exception('a listener failed', extra={'action': 'listen'})
