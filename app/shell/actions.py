"""What a page offers to the command palette (Ctrl-K) for as long as it is shown.

In a page's builder: ``actions.offer('Export all jobs', export, icon='down')``; leaving the page takes it back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import context, ui


@dataclass(frozen=True, kw_only=True)
class Action:
    """One line of the palette; ``name`` is a msgid, ``run`` is called in the page that offered it."""

    name: str
    run: Callable[[], Any]
    icon: str = 'bolt'
    shown: Callable[[], bool] = lambda: True


class offer(ui.element):
    """Offer an action to the palette; ``shown`` is asked each time whether it makes sense now."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Any],
        *,
        icon: str = 'bolt',
        shown: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__('template')
        slot = self.parent_slot
        assert slot is not None

        def call() -> Any:
            with slot:
                return run()

        self._offers = _of_this_page()
        self._offers[self.id] = Action(name=name, run=call, icon=icon, shown=shown)

    def _handle_delete(self) -> None:
        self._offers.pop(self.id, None)
        super()._handle_delete()


def offered() -> dict[int, Action]:
    """What the page that is open offers now, by number."""
    return {number: action for number, action in _of_this_page().items() if action.shown()}


def _of_this_page() -> dict[int, Action]:
    offers: dict[int, Action] = context.client.storage.setdefault('actions', {})
    return offers
