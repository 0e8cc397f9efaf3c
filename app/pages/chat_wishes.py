"""What people wish for on the chat page besides sending: other versions, what is sent next, settings, a suggestion."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import background_tasks, ui

from app.chats import chat_options
from app.chats.chat import ChatService
from app.chats.chat_jobs import USER
from app.chats.chat_refusal import ChatError
from app.components.composer import Composer
from app.components.options_panel import OptionsPanel
from app.components.prompt_book import PromptBook
from app.i18n import N_, speech
from app.jobs import refusals
from app.shell import theme
from app.visit import watch
from broker import errors

REFUSALS = {
    'empty': N_('There is nothing to send yet.'),
    'no_model': N_('Pick a model first.'),
    'gone': N_('This conversation was deleted.'),
    'started': N_('It has just started, so it goes on as it is.'),
    'busy': N_('Two models can be compared once the answer on its way is complete.'),
    'choose': N_('Keep one of the two answers first; the next message goes on from it.'),
    'file_gone': N_('An attached file is no longer there. Remove it and attach it again.'),
    'files_large': N_('The attached pictures are too large together. Remove one of them.'),
}


def refusal(error: ChatError) -> str:
    """Why a wish was not granted, in the language of the page."""
    said = speech()
    values = {name: said.number(float(str(value))) for name, value in error.values.items()}
    if error.code == 'too_long':
        return said.tr('This message has {size} bytes and at most {limit} can be sent.', **values)
    if error.code == 'too_many':
        return said.tr('That is too many: at most {limit} at once.', **values)
    return said.tr(REFUSALS.get(error.code, N_('That could not be sent.')))


class Versions:
    """Wishes for a message: ``do(name, message_id, …)``. ``ask`` grants one and tells people when it cannot."""

    def __init__(
        self, chat: ChatService, opened: Callable[[], str], ask: Callable[[Awaitable[Any], str], Awaitable[bool]]
    ) -> None:
        self._chat = chat
        self._opened = opened
        self._ask = ask

    async def do(self, name: str, message_id: str, value: Any = None) -> None:
        """'turn' by so many steps, 'edit' with a text, 'again' with a model, 'goon', 'keep'."""
        chat, opened = self._chat, self._opened()
        match name:
            case 'turn':
                await self._ask(chat.versions.turn(opened, message_id, int(value)), message_id)
            case 'edit':
                await self._ask(chat.versions.edit(opened, message_id, str(value)), message_id)
            case 'again':
                await self._ask(chat.versions.retry(message_id, opened, str(value)), message_id)
            case 'goon':
                await self._ask(chat.versions.go_on(message_id, opened), message_id)
            case 'keep':
                await self._ask(chat.versions.keep(opened, message_id), message_id)

    async def next(self, what: str, message_id: str, value: Any = None) -> None:
        """What is sent next: 'send' it now, 'edit' with a text, 'move' by so many places, 'drop'."""
        chat, opened = self._chat, self._opened()
        match what:
            case 'send':
                await self._ask(chat.next.send(opened), '')
            case 'edit':
                await self._ask(chat.next.reword(opened, message_id, str(value)), '')
            case 'move':
                await self._ask(chat.next.move(opened, message_id, int(value)), '')
            case 'drop':
                await self._ask(chat.next.drop(opened, message_id), '')


class Settings:
    """The sheet of model options; those of a new conversation are kept here until it begins."""

    def __init__(
        self, chat: ChatService, opened: Callable[[], str], model: Callable[[], str], changed: Callable[[], None]
    ) -> None:
        self._chat = chat
        self._opened = opened
        self._model = model
        self._changed = changed
        self._new: chat_options.Options | None = None
        self.panel = OptionsPanel(on_apply=self._apply, on_preset=self._preset)
        watch(chat.presets.on_change, self.refresh)

    @property
    def count(self) -> int:
        """How many are set."""
        return chat_options.count(self.current())

    def current(self) -> chat_options.Options:
        """Those of the open conversation."""
        if not self._opened() and self._new is not None:
            return self._new
        return self._chat.options(self._opened())

    def begun(self) -> None:
        """The new conversation has taken them."""
        self._new = None

    def refresh(self) -> None:
        """Show what is set."""
        self.panel.show(self.current(), self._chat.presets.all(), self._model())

    def open(self) -> None:
        """Open the sheet."""
        self.refresh()
        self.panel.open()

    async def _apply(self, form: dict[str, Any]) -> None:
        options, wrong = chat_options.check(form)
        if wrong:
            self.panel.refuse(wrong)
            return
        if self._opened():
            await self._chat.set_options(self._opened(), options)
        else:
            self._new = options
        self.panel.accept()
        self.refresh()
        self._changed()
        theme.toast(speech().tr('Applied from the next answer on.'))

    async def _preset(self, what: str, name: str, form: dict[str, Any]) -> None:
        presets = self._chat.presets
        if what == 'delete':
            await presets.delete(name)
        elif what == 'default':
            await presets.set_default(name)
        elif what == 'save':
            options, wrong = chat_options.check(form)
            if wrong:
                self.panel.refuse(wrong)
            else:
                kept = await presets.save(name, options)
                theme.toast(speech().tr('The preset “{name}” is saved.', name=kept))


class Prompts:
    """The prompts, in the composer and in their book."""

    def __init__(self, chat: ChatService, composer: Callable[[], Composer]) -> None:
        self._chat = chat
        self._composer = composer
        self._book = PromptBook(on_save=self._save, on_delete=chat.presets.delete_prompt)
        watch(chat.presets.on_change, self.refresh)
        speech().on_switch(self._book, self.refresh)

    def open(self) -> None:
        """Open the book."""
        self._book.open()

    def refresh(self) -> None:
        """Show what there is, in the language of the page."""
        prompts = self._chat.presets.prompts(speech().code)
        self._book.show(prompts)
        self._composer().show(prompts=[{'id': each.id, 'name': each.name, 'text': each.text} for each in prompts])

    async def _save(self, prompt_id: str, name: str, text: str) -> None:
        await self._chat.presets.save_prompt(prompt_id, name, text)


class Suggesting:
    """A question that a model is asked to think of, for one page."""

    def __init__(self, chat: ChatService, board: Any, composer: Callable[[], Composer]) -> None:
        self._chat = chat
        self._board = board
        self._composer = composer
        self._job = ''

    async def ask(self, begin: bool, model: str = '', conversation_id: str = '') -> None:
        """Begin, or do without the one that is on its way."""
        if not begin:
            job, self._job = self._job, ''
            self._composer().show(suggesting=None)
            if job:
                await self._chat.suggestions.cancel(job)
            return
        if self._job or self._board.model(model) is None:
            return
        said = await self._chat.branch(conversation_id) if conversation_id else []
        try:
            job = await self._chat.suggestions.ask(model, said, speech().code, USER)
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            return
        self._job = job
        self._composer().show(suggesting={'ahead': 0})
        background_tasks.create(self._wait(job), name='wait for a suggestion')

    def refresh(self) -> None:
        """Where it stands in the queue."""
        job = self._board.job(self._job) if self._job else None
        if job is not None:
            self._composer().show(suggesting={'ahead': job.ahead or 0})

    def left(self) -> None:
        """The page is gone, and nobody waits for it."""
        if self._job:
            background_tasks.create(self._chat.suggestions.cancel(self._job), name='cancel a suggestion')

    async def _wait(self, job: str) -> None:
        question = await self._chat.suggestions.question(job)
        if self._job != job or self._composer().is_deleted:
            return
        self._job = ''
        with self._composer():
            self._composer().show(suggesting=None)
            if question:
                self._composer().offer(question)
            else:
                theme.toast(speech().tr('No question came of it. Try again, or with another model.'), bad=True)


class Gone(ui.element):
    """Calls back when its place on the page is removed."""

    def __init__(self, callback: Callable[[], object]) -> None:
        super().__init__('template')
        self._callback = callback

    def _handle_delete(self) -> None:
        self._callback()
        super()._handle_delete()
