"""The keyboard shortcuts at work, and the sheet that lists them."""

from nicegui import ui

from app import i18n
from app.components.shortcut_list import ShortcutList
from app.shell import shortcuts, theme


class Hotkeys(ui.element, component='hotkeys.js'):
    """One per page; obeys ``app.shell.shortcuts.TABLE`` in the browser and does what the buttons in toasts promised."""

    def __init__(self) -> None:
        super().__init__()
        self._props['table'] = [(line.keys, line.action) for line in shortcuts.TABLE if line.action]
        i18n.labels(self, title='Keyboard shortcuts', close='Close')
        self.on('redeem', lambda event: theme.redeem(str(event.args)))
        with self:
            ShortcutList()
