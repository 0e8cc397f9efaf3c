"""Up to three panes side by side: a list, the middle, an inspector; what does not fit becomes a sheet."""

from nicegui import ui

from app.i18n import N_, labels
from app.shell import theme


class Panes(ui.element, component='panes.js'):
    """Fill the slots ``panes.list``, ``panes`` itself, and ``panes.inspector``.

    The borders can be dragged, or moved with the arrow keys; how wide the panes are and which are folded is remembered
    in the browser, for each ``name`` of its own. ``list`` and ``inspector`` are msgids: what the panes hold; '' for a
    page that has no such pane.
    """

    def __init__(self, name: str = 'chat', *, list: str = N_('Conversations'), inspector: str = N_('Details')) -> None:
        super().__init__()
        self.classes('panes')
        self._props['name'] = name
        self._props['used'] = [pane for pane, msgid in (('list', list), ('inspector', inspector)) if msgid]
        labels(self, list=list, inspector=inspector, close='Close', width='Width of the pane: {name}')
        self.list = self.add_slot('list')
        self.inspector = self.add_slot('inspector')

    def toggle_button(self, pane: str, icon: str, msgid: str) -> ui.element:
        """A button that opens and closes a pane ('list' or 'inspector'), without asking the server."""
        button = theme.icon_button(icon, msgid).props('aria-expanded=false').classes(f'toggle-{pane}')
        return button.on('click', js_handler=f'() => getElement({self.id}).toggle({pane!r})')
