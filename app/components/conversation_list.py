"""The list of conversations: one custom element, to which only the rows go that it shows."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from nicegui import ui

from app import i18n
from app.i18n import N_, speech
from app.parts import Parts
from app.shelf import shelf
from app.shell import theme
from app.visit import visit, watch

Row = dict[str, Any]  # id, title, at (unix s), state ('', 'running' or 'waiting'), pinned, folder
WINDOW = 80  # rows that are sent at first
MOST_ROWS = 400  # that a browser gets at once
MOST_FOUND = 400
SCOPE = 'list'  # where the visit remembers which list is shown
REFUSALS = {
    'too_many_folders': N_('There are {n} folders already; remove one that is no longer needed.'),
    'gone': N_('This folder is no longer there.'),
}


class ConversationList(ui.element, component='conversation_list.js'):
    """Shows one list of the shelf: all, a folder, or the archive; and what a search over all of them finds.

    The browser says which rows it shows, and hears of these, of the sizes of sections, and of folders.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        on_new: Callable[[], Any],
        on_rename: Callable[[str, str], Any],
        on_delete: Callable[[str], Any],
        on_undelete: Callable[[str], Any],
    ) -> None:
        super().__init__()
        self._parts = parts
        self._shelf: shelf.Shelf = parts.shelf
        self._scope = str(visit().state.get(SCOPE, shelf.ALL))
        self._first, self._count = 0, WINDOW
        self._days = _days()
        self._active = ''
        self._asked = 0  # searches
        self._props['state'] = {**self._view(), 'version': 0}
        _labels(self)
        self.on('new', on_new)
        self.on('rename', lambda event: on_rename(str(event.args[0]), str(event.args[1])))
        self.on('delete', lambda event: on_delete(str(event.args)))
        self.on('undelete', lambda event: on_undelete(str(event.args)))
        self.on('look', lambda event: self._look(event.args))
        self.on('search', lambda event: self._search(event.args))
        self.on('place', lambda event: self._place(*map(str, event.args)))
        self.on('folder', lambda event: self._folder(*map(str, event.args)))
        self.on('gap', self.update)
        watch(self._shelf.on_change, self.refresh)
        watch(parts.board.on_queue, self.refresh_states)

    @property
    def rows(self) -> list[Row]:
        """The rows that the browser has."""
        return list(self._props['state']['rows'])

    @property
    def state(self) -> dict[str, Any]:
        """What is shown. Read it."""
        return dict(self._props['state'])

    def activate(self, conversation_id: str) -> None:
        """Mark the conversation that is open, '' for none."""
        if self._active != conversation_id:
            self._active = conversation_id
            self.refresh()

    def refresh(self) -> None:
        """Send what is other than before; costs nothing when nothing is."""
        state, after = self._props['state'], self._view()
        patch = {name: value for name, value in after.items() if value != state[name]}
        rows = patch.get('rows')
        if rows is not None and [each['id'] for each in rows] == [each['id'] for each in state['rows']]:
            del patch['rows']
            patch['changed'] = [new for old, new in zip(state['rows'], rows, strict=True) if old != new]
        if patch:
            self._send(after, patch)

    def refresh_states(self) -> None:
        """Send which conversations are being answered, where that is other than before."""
        active = self._parts.chat.active()
        rows = self._props['state']['rows']
        if any(row['state'] != active.get(row['id'], '') for row in rows):
            self.refresh()

    def _send(self, after: dict[str, Any], patch: dict[str, Any]) -> None:
        state = self._props['state']
        with self._props.suspend_updates():  # what a browser gets that shows it anew; what runs gets the patch
            state.update(after)
            state['version'] += 1
        self.run_method('patch', {**patch, 'version': state['version']})

    def _view(self) -> dict[str, Any]:
        if self._scope not in (shelf.ALL, shelf.ARCHIVE) and self._shelf.folder(self._scope) is None:
            self._scope = shelf.ALL
        folder = self._shelf.folder(self._scope)
        total = self._shelf.count(self._scope)
        self._first = max(0, min(self._first, total - 1))
        active = self._parts.chat.active()
        return {
            'scope': self._scope,
            'name': folder.name if folder else '',
            'total': total,
            'sections': self._shelf.sections(self._scope, self._days),
            'first': self._first,
            'rows': [self._row(each, active) for each in self._shelf.rows(self._scope, self._first, self._count)],
            'folders': [{'id': each.id, 'name': each.name, 'count': count} for each, count in self._shelf.folders()],
            'archived': self._shelf.count(shelf.ARCHIVE),
            'active': self._active,
            'at': self._shelf.position(self._scope, self._active) if self._active else -1,
            'home': self._shelf.place_of(self._active).folder,
        }

    def _row(self, header: Any, active: dict[str, str]) -> Row:
        place = self._shelf.place_of(header.id)
        return {
            'id': header.id,
            'title': header.title,
            'at': header.updated_at,
            'state': active.get(header.id, ''),
            'pinned': place.pinned_at > 0,
            'folder': place.folder,
        }

    # what the browser asks for

    def _look(self, wish: dict[str, Any]) -> None:
        """Other rows, another list, or another day."""
        scope = str(wish.get('scope', ''))
        self._first = 0 if scope != self._scope else max(0, int(wish.get('first', 0)))
        self._scope = visit().state[SCOPE] = scope
        self._count = max(WINDOW, min(MOST_ROWS, int(wish.get('count', WINDOW))))
        days = wish.get('days', ())
        if len(days) == len(self._days):
            self._days = [float(day) for day in days]
        self.refresh()

    async def _search(self, wish: dict[str, Any]) -> None:
        self._asked += 1
        number, text = self._asked, str(wish.get('text', ''))
        limit = max(1, min(MOST_FOUND, int(wish.get('limit', 40))))
        findings = await self._parts.search.find(
            text, limit=limit, wanted=lambda: number == self._asked and not self.is_deleted
        )
        if number == self._asked and not self.is_deleted:
            found = [self._result(each) for each in findings.found]
            self.run_method('show', {'text': text, 'found': found, 'more': findings.more, 'limit': limit})

    def _result(self, found: Any) -> dict[str, Any]:
        header = found.conversation
        place = self._shelf.place_of(header.id)
        folder = self._shelf.folder(place.folder)
        return {
            'id': header.id,
            'title': found.title,
            'at': header.updated_at,
            'folder': folder.name if folder else '',
            'archived': place.archived_at > 0,
            'hits': [{'id': hit.message, 'role': hit.role, 'at': hit.at, 'text': hit.snippet} for hit in found.hits],
        }

    async def _place(self, what: str, conversation_id: str, value: str = '') -> None:
        """Pin, put away, or put into a folder."""
        if self._parts.chat.conversation(conversation_id) is None:
            return
        try:
            match what:
                case 'pin':
                    await self._shelf.pin(conversation_id, value == 'True')
                case 'archive':
                    await self._shelf.archive(conversation_id, value == 'True')
                case 'move':
                    await self._shelf.move(conversation_id, value)
        except shelf.ShelfError as error:
            self._refuse(error)

    async def _folder(self, what: str, folder_id: str, name: str = '') -> None:
        """Add (with a conversation to put in), rename, remove or restore a folder."""
        try:
            match what:
                case 'add':
                    folder = await self._shelf.add_folder(name)
                    if folder is not None and folder_id and self._parts.chat.conversation(folder_id) is not None:
                        await self._shelf.move(folder_id, folder.id)
                case 'rename':
                    await self._shelf.rename_folder(folder_id, name)
                case 'remove':
                    await self._shelf.drop_folder(folder_id)
                case 'restore':
                    await self._shelf.restore_folder(folder_id)
        except shelf.ShelfError as error:
            self._refuse(error)

    def _refuse(self, error: shelf.ShelfError) -> None:
        theme.toast(speech().tr(REFUSALS[error.code], n=shelf.MOST_FOLDERS), bad=True)


def _days() -> list[float]:
    """When today, yesterday and the last seven days began here; the browser says it for its own clock."""
    midnight = datetime.fromtimestamp(time.time()).replace(hour=0, minute=0, second=0, microsecond=0)
    return [(midnight - timedelta(days=days)).timestamp() for days in (0, 1, 6)]


def _labels(element: ConversationList) -> None:
    i18n.labels(
        element,
        conversations='Conversations',
        create='New',
        create_long='New conversation',
        search='Search conversations',
        clear='Clear the search',
        more='More',
        folders='Folders',
        new_folder='New folder',
        folder_name='Name of the folder',
        all='All conversations',
        archive='Archive',
        archived='Archived',
        pinned='Pinned',
        today='Today',
        yesterday='Yesterday',
        week='Last 7 days',
        earlier='Earlier',
        now='now',
        minutes='{n} min ago',
        running='answering',
        waiting='waiting',
        pin='Pin',
        unpin='Unpin',
        put_away='Move to the archive',
        take_back='Take out of the archive',
        move='Move to a folder',
        no_folder='No folder',
        back='Back',
        rename='Rename',
        remove='Delete',
        remove_folder='Remove the folder',
        save_markdown='Export as Markdown',
        save_json='Export as JSON',
        save_all_markdown='Export all as Markdown (ZIP)',
        save_all_json='Export all as JSON',
        bring='Import conversations…',
        title='Title',
        deleted='“{title}” was deleted.',
        was_archived='“{title}” is in the archive now.',
        folder_removed='The folder “{title}” was removed; its conversations are in the list.',
        undo='Undo',
        empty='Your conversations will be listed here.',
        empty_folder='Nothing is in this folder yet. Drag conversations onto it, or use their menu.',
        empty_archive='Nothing was put away. What you move here leaves the list and is still found by the search.',
        none='Nothing was found for “{text}”. The search looks into all titles and messages, in any case.',
        show_more='Show more results',
        searching='Searching…',
        you='You',
        answer='Answer',
        importing='Importing…',
        uploading='Uploading… {n}%',
        storing='Importing… {n}%',
        imported='Imported: {n}.',
        import_known='Here already: {n}.',
        import_skipped='Not readable: {n}.',
        import_broken='This is no JSON file. Choose a conversations.json, or an export of this desk.',
        import_zip='This is a ZIP archive. Unpack it first, and choose the conversations.json in it.',
        import_unknown='No conversation was found in this file. Exports of this desk, of Open WebUI, ChatGPT and '
        'Claude can be imported.',
        import_too_large='This file is too large; at most {n} MB can be imported at once.',
        import_room='The attached files in it find no room here. Delete conversations with files, or raise '
        'max_attachments_bytes, then import it again; nothing comes twice.',
        import_failed='The file could not be imported. The details are in the log.',
    )
