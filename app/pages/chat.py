"""The chat page: the conversations, the open one with the place to write, and where its answer stands."""

import json
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, context, ui

from app.chats.branches import Branches
from app.chats.chat_refusal import ChatError
from app.components.composer import Composer
from app.components.conversation_list import ConversationList
from app.components.inspector import Inspector
from app.components.panes import Panes
from app.components.title import Title
from app.components.transcript import Transcript
from app.i18n import N_, T, speech
from app.jobs import attempts, refusals
from app.messages import Message
from app.pages.chat_details import ALIVE, details, pickable, subject_of
from app.pages.chat_wishes import Gone, Prompts, Settings, Suggesting, Versions, refusal
from app.parts import Parts
from app.shell import theme
from app.visit import visit, watch
from broker import errors
from broker.job import AUTO_PRIORITY

OPEN = ('pending', 'unsent')  # as stored; the board knows more

EXAMPLES = (
    N_('Explain quantum tunnelling to a curious ten-year-old.'),
    N_('Write a Python function that reads only three columns of a large CSV file.'),
    N_('Compare tea and coffee in a table.'),
    N_('Write a friendly message that moves a meeting to Thursday.'),
)


def create(parts: Parts) -> None:
    """Build the page; which conversation it shows is in the address, ``/chat/<id>``."""
    _Page(parts)


class _Page:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._chat = parts.chat
        self._id = ''  # of the open conversation, '' for a new one
        self._missing = False
        self._messages: dict[str, Message] = {}  # of the branch that is shown
        self._branches = Branches()
        self._watches: dict[str, watch] = {}  # by job id
        self._loading = False
        self._stale = False
        self._past: tuple[Any, attempts.Past] = (None, attempts.NOTHING)  # of the job in the inspector, with its state
        self._accepted: list[str] = visit().state.setdefault('accepted', [])
        self._versions = Versions(parts.chat, lambda: self._id, self._ask)
        with theme.box('page chat') as self._root:
            self._suggesting = Suggesting(parts.chat, parts.board, lambda: self._composer)
            self._prompts = Prompts(parts.chat, lambda: self._composer)
            Gone(self._suggesting.left)
            self._settings = Settings(parts.chat, lambda: self._id, self._picked, self._tuned)
            self._panes = Panes()
            with self._panes.list:
                self._list = ConversationList(
                    parts,
                    on_new=self._new,
                    on_rename=self._chat.rename,
                    on_delete=self._delete,
                    on_undelete=self._undelete,
                )
            with self._panes:
                self._middle()
            with self._panes.inspector:
                self._inspector = Inspector(details(parts, []))
            self._address = _Address(self._open)
        watch(self._chat.on_change, self._changed)
        watch(parts.board.on_queue, self._queue_moved)
        watch(parts.board.on_workers, self._refresh_composer)
        speech().on_switch(self._root, self._head)

    # The middle

    def _middle(self) -> None:
        with theme.box('page-bar', tag='header'):
            self._panes.toggle_button('list', 'menu', 'Conversations')
            self._title = Title(on_rename=self._rename)
            self._model = theme.text(classes='chat-model')
            theme.box('grow')
            with T(
                theme.box('btn square ghost chat-new', tag='a').props('href=/chat'), 'New conversation', 'aria-label'
            ):
                theme.icon('plus')
            self._tune = theme.icon_button('sliders', 'Model settings', self._settings.open)
            self._panes.toggle_button('inspector', 'panel', 'Details').classes('tip-left')
        with theme.box('chat-talk'):
            self._gone = self._unknown()
            self._transcript = Transcript(
                on_stop=self._stop_job,
                on_retry=self._retry,
                on_priority=self._prioritise,
                on_other=self._use_instead,
                on_wish=self._versions.do,
            )
            with self._transcript:
                self._empty()
        with theme.box('chat-write'):
            self._composer = Composer(
                {**self._composer_state(), 'prompts': [], 'suggesting': None},
                on_send=self._send,
                on_stop=self._stop,
                on_next=self._versions.next,
                on_suggest=self._suggesting.ask,
                on_book=self._prompts.open,
                on_options=self._settings.open,
            )
        self._prompts.refresh()

    def _empty(self) -> None:
        with theme.box('chat-welcome'):
            T(theme.text(tag='h2'), 'What would you like to know?')
            T(
                theme.text(tag='p', classes='quiet'),
                'Each message goes through the queue: you see how many are ahead of it, the answer while it is '
                'written, and afterwards where the time went. Begin with one of these, or with your own:',
            )
            with theme.box('chat-examples'):
                for example in EXAMPLES:
                    button = theme.box('btn', tag='button').props('type=button')
                    with button:
                        T(theme.text(), example)
                    button.on('click', lambda example=example: self._composer.fill(speech().tr(example)))

    def _unknown(self) -> ui.element:
        with (
            theme.empty(
                'compass',
                'This conversation is not here',
                'It may have been deleted, or the address is from another desk.',
            ) as place,
            theme.text(tag='a', classes='btn primary').props('href=/chat'),
        ):
            T(theme.text(), 'New conversation')
        return place

    # Which conversation is open

    async def _open(self, conversation_id: str) -> None:
        """Show a conversation, '' for a new one."""
        if conversation_id == self._id and self._messages:
            return  # it got its address just now
        self._id = conversation_id
        await self._load()

    async def _load(self) -> None:
        """Read the open conversation and show it; changes that come meanwhile are read again."""
        opened = self._id
        header = self._chat.conversation(opened) if opened else None
        branches = await self._chat.branches(opened) if header is not None else Branches()
        messages = _with_pair(branches, branches.shown(header.shown)) if header is not None else []
        if opened != self._id or self._root.is_deleted:
            return
        self._missing = bool(opened) and header is None
        self._branches = branches
        self._messages = {message.id: message for message in messages}
        self._head()
        self._show_all()

    def _head(self) -> None:
        header = self._chat.conversation(self._id)
        new = speech().tr('New conversation')
        title = header.title if header else new
        self._title.show(title, fixed=header is None)
        self._model.set_text(header.model if header else '')
        self._list.activate(self._id if header else '')
        ui.page_title(f'{title} · Corral')
        self._settings.refresh()
        self._tuned()

    def _tuned(self) -> None:
        """The button shows whether something is set."""
        self._tune.classes(add='on') if self._settings.count else self._tune.classes(remove='on')

    def _show_all(self) -> None:
        self._gone.set_visibility(self._missing)
        self._transcript.set_visibility(not self._missing)
        self._transcript.show([self._view(message) for message in self._messages.values()])
        self._watch_jobs()
        self._refresh_composer()
        self._refresh_inspector()

    def _watch_jobs(self) -> None:
        wanted = {each.job_id: each.id for each in self._messages.values() if each.state in OPEN}
        for job_id in self._watches.keys() - wanted.keys():
            self._watches.pop(job_id).delete()
        with self._root:
            for job_id in wanted.keys() - self._watches.keys():
                self._watches[job_id] = watch(self._subscribe(job_id), self._teller(wanted[job_id]))

    def _subscribe(self, job_id: str) -> Callable[..., Any]:
        return lambda call: self._parts.board.subscribe(job_id, call)

    def _teller(self, message_id: str) -> Callable[[], None]:
        """What happens when a job's text grew or its state changed."""
        told = ''

        def tell() -> None:
            nonlocal told
            message = self._messages.get(message_id)
            if message is None:
                return
            view = self._view(message)
            self._transcript.show_one(view)
            if view['state'] != told:
                told = view['state']
                self._refresh_composer()
                self._refresh_inspector()

        return tell

    # What happens elsewhere

    def _changed(self, conversation_id: str) -> None:
        if conversation_id == self._id:
            self._reload()

    def _reload(self) -> None:
        self._stale = True
        if not self._loading:
            self._loading = True
            background_tasks.create(self._reload_while_stale(), name='reload the conversation')

    async def _reload_while_stale(self) -> None:
        try:
            while self._stale and not self._root.is_deleted:
                self._stale = False
                with self._root:
                    await self._load()
        finally:
            self._loading = False

    def _queue_moved(self) -> None:
        self._refresh_inspector()
        self._refresh_composer()
        self._suggesting.refresh()

    # What the user does

    async def _send(self, wish: dict[str, Any]) -> None:
        nonce, key = str(wish['nonce']), str(wish['key'])
        priority = wish['priority'] if wish['priority'] in (AUTO_PRIORITY, *theme.PRIORITIES) else 5
        try:
            header = await self._chat.send(
                key or None,
                str(wish['text']),
                str(wish['model']),
                priority,
                files=[str(each) for each in wish.get('files', ())],
                options=None if key else self._settings.current(),
                beside=str(wish.get('beside') or ''),
            )
        except ChatError as error:
            self._composer.refuse(nonce, refusal(error))
            return
        except Exception:  # a full disk, say: the text stays where it is and can be sent again
            self._composer.refuse(nonce, speech().tr('That could not be sent.'))
            raise
        self._accepted.append(nonce)
        if self._root.is_deleted:
            return
        if not key and not self._id:
            self._id = header.id
            self._settings.begun()
            self._address.take(header.id)
            await self._load()
        self._composer.accept(nonce, header.id)

    async def _stop(self) -> None:
        for view in self._views():
            if view['state'] in ALIVE:
                await self._stop_job(view['job'])

    async def _stop_job(self, job_id: str) -> None:
        await self._ask(self._chat.stop(job_id), self._message_of(job_id))

    async def _prioritise(self, job_id: str, priority: int) -> None:
        await self._ask(self._chat.set_priority(job_id, priority), self._message_of(job_id))

    async def _retry(self, message_id: str) -> None:
        await self._ask(self._chat.versions.retry(message_id, self._id), message_id)

    async def _use_instead(self, job_id: str, model: str) -> None:
        message_id = self._message_of(job_id)
        if self._parts.board.model(model) is None:  # it went away meanwhile
            self._transcript.release(message_id)
        elif message_id:
            await self._ask(self._chat.use_instead(job_id, model), message_id)

    def _message_of(self, job_id: str) -> str:
        return next((message.id for message in self._messages.values() if message.job_id == job_id), '')

    async def _ask(self, wish: Any, message_id: str) -> bool:
        try:
            await wish
        except ChatError as error:
            why = refusal(error)
        except errors.BrokerError as error:
            why = refusals.why(error, speech())
        else:
            return True
        if message_id:
            self._transcript.release(message_id)
        theme.toast(why, bad=True)
        return False

    def _new(self) -> None:
        self._composer.focus()

    async def _rename(self, title: str) -> None:
        await self._chat.rename(self._id, title)

    async def _delete(self, conversation_id: str) -> None:
        if conversation_id == self._id:
            visit().state['reopen'] = conversation_id
            ui.navigate.to('/chat')
        await self._chat.delete(conversation_id)

    async def _undelete(self, conversation_id: str) -> None:
        await self._chat.undelete(conversation_id)
        if visit().state.pop('reopen', '') == conversation_id and not self._id:
            ui.navigate.to(f'/chat/{conversation_id}')

    # What is shown around it

    def _picked(self) -> str:
        header = self._chat.conversation(self._id)
        return header.model if header else ''

    def _view(self, message: Message) -> dict[str, Any]:
        turn, turns = self._branches.turn(message.id)
        return {**self._chat.view(message), 'turn': turn, 'turns': turns}

    def _views(self) -> list[dict[str, Any]]:
        """Those of the answers that matter for what is around the transcript: the last two, and all that are alive."""
        answers = [message for message in self._messages.values() if message.role == 'assistant']
        return [
            self._view(message)
            for left, message in zip(range(len(answers), 0, -1), answers, strict=True)
            if left <= 2 or message.state in OPEN
        ]

    def _composer_state(self) -> dict[str, Any]:
        header = self._chat.conversation(self._id)
        states = {view['state'] for view in self._views()}
        waiting = self._chat.next.of(self._id)
        running = 'running' if states & {*ALIVE} - {'cancelling'} else ''
        return {
            'conversation': self._id,
            'models': pickable(self._parts.board.models()),
            'model': header.model if header else '',
            'priority': header.priority if header else 0,
            'alive': running or ('stopping' if 'cancelling' in states else ''),
            'blocked': 'gone' if self._missing else '' if self._parts.board.broker_alive else 'broker',
            'limit': self._parts.settings.max_prompt_bytes,
            'next': [
                {'id': each.id, 'text': each.content, 'model': each.model, 'files': len(each.files)} for each in waiting
            ],
            'choose': any(message.extras.beside for message in self._messages.values()),
            'held': bool(waiting) and not running and 'cancelling' not in states,
            'accepted': self._accepted[-20:],
        }

    def _refresh_composer(self) -> None:
        state = self._composer_state()
        self._composer.show(**state)
        self._transcript.offer([each['name'] for each in state['models']])

    def _refresh_inspector(self) -> None:
        views = self._views()
        self._inspector.show(details(self._parts, views, self._past_of(subject_of(views))))

    def _past_of(self, subject: dict[str, Any] | None) -> attempts.Past:
        """What is known of the past of a job; what is not is asked for once."""
        if subject is None or subject['state'] in ('sending', 'unsent'):
            return attempts.NOTHING
        told = subject['state'] not in ALIVE or subject['starts'] > 1 or subject['failures'] or subject['losses']
        point = (subject['job'], subject['state'], subject['starts'], subject['failures'], subject['losses'])
        known, past = self._past
        if point == known:
            return past
        same = known is not None and known[0] == subject['job']
        self._past = (point, past if same else attempts.NOTHING)
        if told:
            background_tasks.create(self._read_past(point), name='read what happened to a job')
        return self._past[1]

    async def _read_past(self, point: tuple[Any, ...]) -> None:
        try:
            past = attempts.told(await self._parts.broker.history(point[0]))
        except errors.BrokerError:
            return  # forgotten by the queue, or it is away: then the inspector does without
        if self._past[0] == point and not self._root.is_deleted:
            self._past = (point, past)
            with self._root:
                self._refresh_inspector()


class _Address(ui.sub_pages):
    """The part of the address after ``/chat``: which conversation is open. It shows nothing itself."""

    def __init__(self, on_open: Callable[[str], Any]) -> None:
        super().__init__({'/': lambda: on_open(''), '/{conversation_id}': on_open}, show_404=False)

    def take(self, conversation_id: str) -> None:
        """The new conversation on the page has an id now; going back leads to the page before it."""
        path = f'/chat/{conversation_id}'
        router = context.client.sub_pages_router
        router.current_path = path
        self._show()
        ui.run_javascript(f'history.replaceState({{page: {json.dumps(path)}}}, "", {json.dumps(path)})')


def _with_pair(branches: Branches, shown: list[Message]) -> list[Message]:
    """The branch, with both of two answers at its end that are compared."""
    other = branches.message(shown[-1].extras.beside) if shown else None
    return [*shown, other] if other is not None else shown
