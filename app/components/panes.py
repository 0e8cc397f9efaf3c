"""Three panes side by side: the list, the middle, the inspector; what does not fit becomes a sheet."""

from nicegui import ui

from app import i18n, theme


class Panes(ui.element, component='panes.js'):
    """Fill the slots ``list``, ``default`` and ``inspector``. Which panes are open is remembered in the browser."""

    def __init__(self) -> None:
        super().__init__()
        self.classes('panes')
        i18n.labels(self, list='Conversations', inspector='Details', close='Close')
        self.list = self.add_slot('list')
        self.inspector = self.add_slot('inspector')

    def toggle_button(self, pane: str, icon: str, msgid: str) -> ui.element:
        """A button that opens and closes a pane ('list' or 'inspector'), without asking the server."""
        button = theme.icon_button(icon, msgid).props('aria-expanded=false').classes(f'toggle-{pane}')
        return button.on('click', js_handler=f'() => getElement({self.id}).toggle({pane!r})')
