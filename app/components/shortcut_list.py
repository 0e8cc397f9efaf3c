"""The table of the keyboard shortcuts, as the ``?`` sheet and the settings page show it."""

from nicegui import ui

from app.i18n import labels, speech
from app.shell import shortcuts


class ShortcutList(ui.element, component='shortcut_list.js'):
    """Groups of lines; keys are written as the visitor's machine calls them (⌘ on a Mac)."""

    def __init__(self) -> None:
        super().__init__()
        labels(self, enter='Enter', escape='Esc', or_='or', then='then')
        said = speech()

        def say() -> None:
            self._props['groups'] = [
                {
                    'name': said.tr(group),
                    'lines': [
                        {'keys': line.keys, 'does': said.tr(line.does)}
                        for line in shortcuts.TABLE
                        if line.group == group
                    ],
                }
                for group in shortcuts.GROUPS
            ]
            self.update()

        say()
        said.on_switch(self, say)
