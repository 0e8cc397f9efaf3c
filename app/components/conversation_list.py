"""The list of conversations: one custom element for all of them, fed with what changed."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n

Row = dict[str, Any]  # title, at (unix s), state ('', 'running' or 'waiting')


class ConversationList(ui.element, component='conversation_list.js'):
    """Shows rows by conversation id, newest first, grouped by day; ``set`` and ``drop`` send one row."""

    def __init__(
        self,
        rows: dict[str, Row],
        *,
        on_new: Callable[[], Any],
        on_rename: Callable[[str, str], Any],
        on_delete: Callable[[str], Any],
        on_undelete: Callable[[str], Any],
    ) -> None:
        super().__init__()
        self._props['state'] = {'rows': rows, 'active': '', 'version': 0}
        _labels(self)
        self.on('new', on_new)
        self.on('rename', lambda event: on_rename(str(event.args[0]), str(event.args[1])))
        self.on('delete', lambda event: on_delete(str(event.args)))
        self.on('undelete', lambda event: on_undelete(str(event.args)))
        self.on('gap', self.update)

    @property
    def rows(self) -> dict[str, Row]:
        """What is shown. Read it, change it through the methods."""
        return self._props['state']['rows']

    def set(self, conversation_id: str, row: Row) -> None:
        """Show a row, new or changed; costs nothing when it is as before."""
        if self.rows.get(conversation_id) != row:
            with self._props.suspend_updates():
                self.rows[conversation_id] = row
            self._patch(rows={conversation_id: row})

    def drop(self, conversation_id: str) -> None:
        """Take a row away."""
        if conversation_id in self.rows:
            with self._props.suspend_updates():
                del self.rows[conversation_id]
            self._patch(rows={conversation_id: None})

    def activate(self, conversation_id: str) -> None:
        """Mark the conversation that is open, '' for none."""
        if self._props['state']['active'] != conversation_id:
            with self._props.suspend_updates():
                self._props['state']['active'] = conversation_id
            self._patch(active=conversation_id)

    def _patch(self, **patch: Any) -> None:
        state = self._props['state']
        with self._props.suspend_updates():  # what a browser gets that shows it anew; what runs gets the patch
            state['version'] += 1
        self.run_method('patch', {**patch, 'version': state['version']})


def _labels(element: ConversationList) -> None:
    i18n.labels(
        element,
        conversations='Conversations',
        create='New',
        create_long='New conversation',
        filter='Filter by title',
        clear='Clear the filter',
        today='Today',
        yesterday='Yesterday',
        week='Last 7 days',
        earlier='Earlier',
        now='now',
        minutes='{n} min',
        running='answering',
        waiting='waiting',
        rename='Rename',
        remove='Delete',
        title='Title',
        deleted='“{title}” was deleted.',
        undo='Undo',
        empty='Your conversations will be listed here.',
        none='No title contains “{text}”.',
    )
