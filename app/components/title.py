"""A title that is renamed where it stands."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n


class Title(ui.element, component='title.js'):
    """Click, type, Enter; Escape leaves it as it was."""

    def __init__(self, *, on_rename: Callable[[str], Any]) -> None:
        super().__init__()
        self._props['title'] = ''
        self._props['fixed'] = True
        i18n.labels(self, rename='Rename', name='Title')
        self.on('rename', lambda event: on_rename(str(event.args)))

    def show(self, title: str, *, fixed: bool = False) -> None:
        """Show a title; a ``fixed`` one cannot be renamed."""
        if (title, fixed) != (self._props['title'], self._props['fixed']):
            self._props['title'], self._props['fixed'] = title, fixed
            self.update()
