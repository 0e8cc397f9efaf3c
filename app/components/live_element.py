"""What custom elements have in common whose state changes while they are looked at: the browser is told what is new."""

from typing import Any

from nicegui import ui

State = dict[str, Any]


class LiveElement(ui.element):
    """Shows a ``State``; its ``now`` is the time at which the rest was so."""

    def __init__(self, state: State) -> None:
        super().__init__()
        hold(self, state)

    def show(self, state: State) -> None:
        """Show ``state``, unless nothing but the time differs."""
        before = self._props['state']
        patch = {key: value for key, value in state.items() if key == 'now' or value != before[key]}
        if patch.keys() <= {'now'}:
            return
        hold(self, {**before, **state})
        self.run_method('show', patch)


def hold(element: ui.element, state: State) -> None:
    """Keep what a browser gets that shows the element anew; nothing is sent now.

    Past the observing of props: that would copy every row of every state that is shown, to watch it for changes.
    """
    dict.__setitem__(element._props, 'state', state)
