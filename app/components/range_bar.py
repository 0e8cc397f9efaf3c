"""The choice of time, of filters and of the comparison above the charts."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n

State = dict[str, Any]


class RangeBar(ui.element, component='range_bar.js'):
    """Shows ``{'ranges': [(key, text)], 'range', 'since', 'until', 'compare', 'filters', 'options', 'address'}``.

    ``options`` are (value, text) by filter; ``address`` is put in the browser's address field. ``on_change(wish)`` gets
    what was changed: ``{'range'}``, ``{'since', 'until'}`` (unix seconds), ``{'compare'}`` or ``{'filters': {…}}``.
    ``on_zone(name)`` hears the browser's time zone.
    """

    def __init__(self, state: State, on_change: Callable[[State], Any], on_zone: Callable[[str], Any]) -> None:
        super().__init__()
        self._props['state'] = state
        i18n.labels(
            self,
            range='Time range',
            custom='Custom…',
            since='From',
            until='To',
            apply='Show',
            backwards='The end has to be after the beginning.',
            compare='Compare with the previous period',
            clear='Clear the filters',
            filters='Filters',
            any='All',
            find='Find…',
            none='Nothing fits.',
            user='User',
            model='Model',
            priority='Priority',
            kind='Kind',
            worker='Worker',
        )
        self.on('change', lambda event: on_change(dict(event.args)))
        self.on('zone', lambda event: on_zone(str(event.args)))

    def show(self, **state: Any) -> None:
        """Change a part of the state; nothing is sent when it is as before."""
        after = {**self._props['state'], **state}
        if after != self._props['state']:
            self._props['state'] = after
            self.update()
