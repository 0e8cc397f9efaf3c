"""What the doors of the four share: jobs by any id that some door gave out, what they ask, and what is done to them."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from analytics import answers
from analytics import errors as analytics_errors
from analytics.ledger import Ledger
from app.api import native, trouble
from app.api.trouble import Trouble
from app.api.work import Doors
from app.chats.answer import Answer
from app.desk import Desk
from app.views import JobView
from broker import errors, facts, protocol
from broker.client import new_job_id
from broker.job import FINAL, Job, State

PREFIXES = ('resp_', 'chatcmpl-', 'cmpl-', 'msg_', 'task_')
_GIVEN = 'id:'  # an id that a client chose is kept as the key of its job
MAX_GIVEN = 190
_HEX = frozenset('0123456789abcdef')


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now. ``ahead`` is None unless it waits, ``starts_at`` 0 while nothing can be said."""

    job_id: str
    name: str  # what its client calls it
    kind: str
    model: str
    priority: int
    user: str
    conversation_id: str
    state: State
    queued_at: float
    started_at: float
    ended_at: float
    due_at: float
    worker: str
    code: str
    detail: str
    failures: int
    max_failures: int
    ahead: int | None
    starts_at: float
    tokens: int

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @property
    def failure(self) -> str:
        """Why it has no answer, in one sentence; '' when it has one or may still get one."""
        if self.state is State.CANCELLED:
            return 'cancelled'
        return (self.detail or self.code) if self.state is State.DEAD else ''


class Seeds:
    """What these doors work with; ``open`` it once the desk's database is there.

    ``default_model`` is for programs that name none, ``aliases`` has models for names that they are used to.
    """

    def __init__(self, doors: Doors, *, default_model: str = '', aliases: Mapping[str, str] | None = None) -> None:
        self.doors = doors
        self.default_model = default_model
        self._aliases = dict(aliases or {})
        self._desk: Desk | None = None
        self._ledger: Ledger | None = None

    def open(self, desk: Desk | None, ledger: Ledger | None) -> None:
        """From now on these are there."""
        self._desk, self._ledger = desk, ledger

    @property
    def is_open(self) -> bool:
        """Whether the desk's database is there."""
        return self._desk is not None

    @property
    def desk(self) -> Desk:
        """Where conversations are kept. Raises ``Trouble`` before ``open``."""
        if self._desk is None:
            raise Trouble('broker_away', 'The desk is starting or stopping; try again soon.')
        return self._desk

    def model(self, asked: str, usual: str = '') -> str:
        """The announced name of the model that a program asked for, or of the one for those that ask for none.

        ``usual`` is what its own system took then. Raises ``Trouble``; nothing else is ever taken for what was asked.
        """
        board = self.doors.board
        if asked:
            alias = self._aliases.get(asked, '')
            return self.doors.model(alias if alias and not board.name_of(asked) else asked)
        if self.default_model:
            return self.doors.model(self.default_model)
        usual = self._aliases.get(usual, usual)
        talking = [model.name for model in board.models() if 'embedding' not in model.capabilities]
        return board.name_of(usual) if usual and board.name_of(usual) else self.doors.model((talking or [usual])[0])

    async def submit(self, request: protocol.Submit, *, given: str = '') -> str:
        """Queue it; returns when it is on disk, with the id of its job. Raises ``Trouble``.

        With a ``given`` id it is that very job: the same request again changes nothing, another one is refused.
        """
        if given:
            request = msgspec.structs.replace(request, job_id=job_id_of(given), idempotency_key=_GIVEN + given)
        try:
            accepted = await self.doors.broker.submit(request)
            if accepted.duplicate and given and await self.doors.broker.body(accepted.job_id) != request.body:
                raise Trouble('conflict', f'the id {given[:60]} is taken by another request; choose another one')
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        return accepted.job_id

    async def seen(self, name: str) -> Seen:
        """The job that a client means by ``name``. Raises ``Trouble`` with ``not_found``."""
        try:
            found = await self.doors.broker.get(job_id_of(name))
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        given = name_of(found.job)
        return self.of_job(found.job, found.ahead, given if given != found.job.job_id else name)

    def of_job(self, job: Job, ahead: int = -1, name: str = '') -> Seen:
        """The same for what the queue told of it."""
        view = self.doors.board.job(job.job_id)
        place = ahead if ahead >= 0 else (view.ahead if view is not None and job.state not in FINAL else None)
        tokens = view.tokens if view is not None and view.epoch == job.epoch else job.usage.output_tokens
        return _seen(job, name or name_of(job), place, view.earliest_at if view is not None else 0.0, tokens)

    async def body(self, job_id: str) -> dict[str, Any]:
        """What a job asks of the engine; empty once the queue has let go of it. Raises ``Trouble``."""
        try:
            data = await self.doors.broker.body(job_id)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        return fields_of(data)

    async def lines(self, job_id: str) -> list[bytes]:
        """The lines of its answer so far. Raises ``Trouble``."""
        try:
            return list((await self.doors.broker.read_all(job_id)).lines)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def text(self, job_id: str) -> str:
        """The answer so far. Raises ``Trouble``."""
        view = self.doors.board.job(job_id)
        return view.text if view is not None and view.complete else text_of(await self.lines(job_id))

    async def cancel(self, job_id: str) -> None:
        """Stop it. Raises ``Trouble``, with ``final`` when it has ended."""
        try:
            await self.doors.broker.cancel(job_id)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def set_priority(self, job_id: str, priority: int) -> None:
        """Move it while it waits. Raises ``Trouble``."""
        try:
            await self.doors.broker.set_priority(job_id, priority)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def past(self, since: float = 0.0) -> answers.Summary | None:
        """The figures of all that ended since then; None while the analytics cannot tell."""
        try:
            return await self._ledger.summary(since=since, until=time.time() + 1) if self._ledger is not None else None
        except analytics_errors.AnalyticsError:
            return None

    async def past_by_priority(self, since: float = 0.0) -> list[answers.PrioritySummary]:
        """The same for each priority."""
        try:
            if self._ledger is not None:
                return await self._ledger.by_priority(since=since, until=time.time() + 1)
        except analytics_errors.AnalyticsError:
            pass
        return []


def new_request(kind: str, model: str, body: dict[str, Any], **fields: Any) -> protocol.Submit:
    """A job that does not end when its caller leaves."""
    data = msgspec.json.encode({'model': model, **body})
    return protocol.Submit(job_id=new_job_id(), kind=kind, model=model, body=data, **fields)


def seen_on_board(view: JobView, name: str) -> Seen:
    """The job as the desk sees it."""
    return _seen(view, name, view.ahead if view.waits else None, view.earliest_at, view.tokens)


def job_id_of(name: str) -> str:
    """The id of the job that ``name`` means: an id of ours, also with a prefix or dashes, or one that a client chose.

    >>> job_id_of('resp_0193d5c8-7f00-7abc-8def-0123456789ab')
    '0193d5c87f007abc8def0123456789ab'
    """
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), '')
    bare = name.removeprefix(prefix).replace('-', '').lower()
    if len(bare) == 32 and _HEX.issuperset(bare):
        return bare
    whole = quote(unquote(name), safe='@')  # clients put it into a path with and without encoding it once more
    return hashlib.sha256(f'named {whole}'.encode()).hexdigest()[:32]


def name_of(job: Job) -> str:
    """What its client calls a job."""
    given = job.idempotency_key.removeprefix(_GIVEN)
    return given if given != job.idempotency_key and job_id_of(given) == job.job_id else job.job_id


def fields_of(data: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text_of(lines: list[bytes]) -> str:
    """What these lines of one run say."""
    answer = Answer(0)
    answer.take(0, tuple(lines), None)
    return answer.text


def result_of(kind: str, lines: list[bytes]) -> msgspec.Raw | None:
    """The object that Ollama would have given in one piece; None where there is none."""
    if not lines or kind == 'raw':
        return None
    try:
        whole = lines[0] if kind == 'embed' else native.whole(lines, kind)
        msgspec.json.decode(whole)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return msgspec.Raw(whole)


def question_of(body: Mapping[str, Any]) -> str:
    """What is asked: the last message of the user, the prompt, or the input."""
    messages = body.get('messages')
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get('role') == 'user' and isinstance(message.get('content'), str):
            return str(message['content'])
    found = next((body[name] for name in ('prompt', 'input') if isinstance(body.get(name), str)), '')
    return str(found)


def _seen(job: Job | JobView, name: str, ahead: int | None, starts_at: float, tokens: int) -> Seen:
    same = {
        field: getattr(job, field)
        for field in (
            'job_id', 'kind', 'model', 'priority', 'user', 'conversation_id', 'state', 'queued_at', 'started_at',
            'ended_at', 'due_at', 'worker', 'code', 'detail', 'failures',
        )
    }  # fmt: skip
    if isinstance(job, JobView) and isinstance(job.ended, facts.JobDied):
        same |= {'code': job.ended.code, 'detail': job.ended.detail}
    most = job.max_failures if isinstance(job, Job) else 3
    waiting_since = 0.0 if job.state in FINAL else starts_at
    return Seen(**same, name=name, max_failures=most, ahead=ahead, starts_at=waiting_since, tokens=tokens)
