"""The conversations as they are stored: what changes one goes through here, and begins the answers that it asks for."""

from collections.abc import Callable, Sequence
from copy import copy

from app.board import Board
from app.chats import chat_options, chat_request
from app.chats.attachments import Attachments
from app.chats.branches import Branches
from app.chats.chat_jobs import AnswerJobs, answer_to
from app.chats.chat_refusal import ChatError
from app.desk import Desk
from app.messages import Conversation, Extras, Message
from app.settings import AppSettings
from broker.client import BrokerClient


class Talks:
    """``headers`` are all that are not deleted, ``jobs`` their answers on the way; ``tell`` hears what changed."""

    def __init__(
        self, settings: AppSettings, broker: BrokerClient, board: Board, desk: Desk, tell: Callable[[str], object]
    ) -> None:
        self._board = board
        self._desk = desk
        self._settings = settings
        self.headers: dict[str, Conversation] = {}
        self.tell = tell
        self.attachments = Attachments(desk, most_bytes=settings.max_attachments_bytes)
        self.jobs = AnswerJobs(broker, board, desk, request=self.request, tell=tell)

    @property
    def desk(self) -> Desk:
        """The database."""
        return self._desk

    async def branches(self, conversation_id: str) -> Branches:
        """A conversation's messages as a tree."""
        return Branches(await self._desk.messages(conversation_id))

    def check(self, text: str, model: str, files: Sequence[str]) -> None:
        """Raises ``ChatError`` for what cannot be sent."""
        size = len(text.encode(errors='replace'))
        if not text.strip() and not files:
            raise ChatError('empty')
        if size > self._settings.max_prompt_bytes:
            raise ChatError('too_long', size=size, limit=self._settings.max_prompt_bytes)
        if not model:
            raise ChatError('no_model')

    def alive(self, answer: Message) -> bool:
        """Whether it is on its way."""
        job = self._board.job(answer.job_id)
        known = self.jobs.awaited.get(answer.job_id, answer)
        return known.state == 'pending' or (known.state == 'unsent' and job is not None and not job.final)

    async def tree(self, conversation_id: str) -> tuple[Conversation, Branches]:
        """A header to change, and the messages; raises ``ChatError`` 'gone'."""
        branches = await self.branches(conversation_id)
        if conversation_id not in self.headers:
            raise ChatError('gone')
        return copy(self.headers[conversation_id]), branches

    async def last_of(self, header: Conversation) -> Message | None:
        """The last message of the branch that is shown."""
        shown = (await self.branches(header.id)).shown(header.shown)
        return shown[-1] if shown else None

    async def ask(
        self, header: Conversation, question: Message, models: Sequence[str], *, show: bool = True, before: str = ''
    ) -> str:
        """Store a question and begin its answers; the id of the first one."""
        answers = [answer_to(header.id, question.id, model, header.priority) for model in models]
        if len(answers) > 1:
            for each, other in (answers, answers[::-1]):
                each.extras = Extras(beside=other.id)
        header.shown = answers[0].id if show else before
        await self.store(header, question, *answers)
        return answers[0].id

    async def store(self, header: Conversation, *messages: Message) -> None:
        """Keep a header and new messages, and begin the answers among them."""
        await self._desk.put(header, *messages)
        self.headers[header.id] = header
        for message in messages:
            if message.state == 'pending':
                self.jobs.begin(message)
        self.tell(header.id)

    async def request(self, answer: Message) -> bytes:
        """What is sent to the model for this answer."""
        branches = await self.branches(answer.conversation_id)
        stored = branches.message(answer.id)
        said = branches.path(branches.parent_of(answer.id)) if stored is not None else []
        files = await self.attachments.read(file for message in said for file in message.extras.files)
        header = self.headers.get(answer.conversation_id)
        return chat_request.body(answer, said, chat_options.read(header.options if header else ''), files)
