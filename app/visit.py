"""What belongs to one open page (one browser tab) for as long as it is open."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nicegui import context, ui

from app.listeners import Callback, Unsubscribe


@dataclass
class Visit:
    """State that outlives a switch between Chat, Queue and Analytics: a page rebuilt finds here what it left."""

    state: dict[str, Any] = field(default_factory=dict)  # whatever a page wants to find again, by a name of its own
    place: str = ''  # of the rail, where this page is
    theme: str = 'system'
    on_theme: Callable[[], None] = lambda: None  # called when the theme was changed


def visit() -> Visit:
    """The visit of the page that is being built or that an event came from."""
    storage = context.client.storage
    if 'visit' not in storage:
        storage['visit'] = Visit()
    return storage['visit']


class watch(ui.element):
    """Subscribe to the board for as long as this place on the page exists.

    ``watch(board.on_queue, refresh)`` or ``watch(lambda call: board.subscribe(job_id, call), refresh)``; the callback
    runs in the place where ``watch`` was called, so it may create elements and notify. ``.stop()`` ends it early.
    """

    def __init__(self, subscribe: Callable[[Callback], Unsubscribe], callback: Callback) -> None:
        super().__init__('template')
        slot = self.parent_slot
        assert slot is not None

        def call(*args: object) -> None:
            if not self.is_deleted:
                with slot:
                    callback(*args)

        self._unsubscribe = subscribe(call)

    def stop(self) -> None:
        """Hear no more."""
        self._unsubscribe()

    def _handle_delete(self) -> None:
        self.stop()
        super()._handle_delete()
