"""What clients of our own API ask for, checked as far as a form can be, and made into what the queue takes."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api import caller
from app.api.trouble import Trouble
from broker import protocol
from broker.job import AUTO_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY, MIN_PRIORITY, State

Kind = Literal['chat', 'generate', 'embed', 'raw']
PriorityName = Literal['auto', 'critical', 'realtime', 'high', 'normal', 'low', 'batch']
Priority = Annotated[int, Field(strict=True, ge=MIN_PRIORITY, le=MAX_PRIORITY)] | PriorityName
JobId = Annotated[str, Field(pattern='^[0-9a-f]{32}$', examples=['0197f3a2b4c47d21a3a6a1f0c2d4e6f8'])]
Scope = Literal['all', 'model', 'priority', 'user', 'worker']
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Short = Annotated[str, Field(max_length=300)]

_FORM = ConfigDict(extra='forbid', frozen=True)
_BODIES = {'chat': 'messages', 'generate': 'prompt', 'embed': 'input'}  # what makes a body one of this kind


class Message(BaseModel):
    """A message of a chat, as Ollama takes it; more fields (images, tool_calls, …) may be there."""

    model_config = ConfigDict(extra='allow', frozen=True)

    role: str = Field(examples=['user'])
    content: str = Field(default='', examples=['Why is the sky blue?'])


class Ask(BaseModel):
    """What is to be done, and for whom: the part that jobs and schedules have in common.

    Say it in one of four ways: `messages` (a chat), `prompt` (a generation), `input` (embeddings), or `body`, which
    goes to the engine as it is, with a `path` where the engine has an endpoint of its own for it.
    """

    model_config = _FORM

    model: Short = Field(default='', description='Name of the model. May also be in `body`.', examples=['qwen3'])
    kind: Kind | None = Field(default=None, description='Follows from the other fields where it is left out.')
    messages: list[Message] | None = Field(default=None, description='A chat.')
    prompt: str | None = Field(default=None, description='A text to go on from.')
    input: str | list[str] | None = Field(default=None, description='One or many texts to embed.')
    system: str | None = Field(default=None, description='How the model shall behave.')
    options: dict[str, Any] | None = Field(default=None, description='Ollama’s options, like `num_ctx`.')
    body: dict[str, Any] | None = Field(default=None, description='The whole request to the engine instead.')
    path: str = Field(
        default='', max_length=500, description='For kind raw: where on the engine `body` is posted, like /v1/rerank.'
    )
    priority: Priority = Field(
        default=DEFAULT_PRIORITY, description='0 to 15, higher is sooner; or a name; or auto, to have it guessed.'
    )
    user: Short = Field(default='', description='For whom it is, which is who shares fairly with others.')
    max_failures: int = Field(default=3, ge=1, le=100, description='After so many failures it is dead.')

    @model_validator(mode='after')
    def _says_one_thing(self) -> Self:
        said = [name for name in ('messages', 'prompt', 'input', 'body') if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError('say what to do by exactly one of messages, prompt, input and body')
        if self.body is not None and (self.system is not None or self.options is not None):
            raise ValueError('system and options belong into body when there is one')
        if self.input is not None and self.system is not None:
            raise ValueError('system is for chats and generations only')
        kind = self.kind_meant()
        if self.body is None and kind != {'messages': 'chat', 'prompt': 'generate', 'input': 'embed'}[said[0]]:
            raise ValueError(f'a job of kind {kind} is not made from {said[0]}')
        if bool(self.path) != (kind == 'raw'):
            raise ValueError('path is for jobs of kind raw, which need one; other kinds have none')
        if not self.model_meant():
            raise ValueError('model is missing')
        return self

    def kind_meant(self) -> str:
        """The kind, told or implied."""
        if self.kind is not None:
            return self.kind
        if self.path:
            return 'raw'
        fields = self.body if self.body is not None else self.model_fields_set
        return next((kind for kind, field in _BODIES.items() if field in fields), 'chat')

    def model_meant(self) -> str:
        """The model that was named."""
        named = (self.body or {}).get('model')
        return self.model or (named if isinstance(named, str) else '')

    def native(self, model: str) -> bytes:
        """The request to the engine. Raises ``Trouble``."""
        if self.body is not None:
            made = {**self.body, 'model': model}
        else:
            kept = self.model_dump(include={'messages', 'prompt', 'input', 'system', 'options'}, exclude_none=True)
            if (system := kept.pop('system', None)) is not None and 'messages' in kept:
                kept['messages'] = [{'role': 'system', 'content': system}, *kept['messages']]
            elif system is not None:
                kept['system'] = system
            made = {'model': model, **kept}
        try:
            return json.dumps(made, ensure_ascii=False, separators=(',', ':'), allow_nan=False).encode()
        except (ValueError, UnicodeError, RecursionError):
            raise Trouble('invalid', 'the request has text or numbers that JSON cannot carry', param='body') from None

    def priority_meant(self) -> int:
        """0 to 15, or that it shall be guessed."""
        if isinstance(self.priority, int):
            return self.priority
        return AUTO_PRIORITY if self.priority == 'auto' else caller.NAMES[self.priority]


class JobRequest(Ask):
    """A job to be queued."""

    model_config = ConfigDict(
        json_schema_extra={
            'examples': [
                {'model': 'qwen3', 'messages': [{'role': 'user', 'content': 'Why is the sky blue?'}]},
                {'model': 'qwen3', 'prompt': 'Once upon a time', 'priority': 'low', 'options': {'num_predict': 50}},
                {'model': 'nomic-embed-text', 'input': ['one', 'two'], 'delay_s': 60},
            ]
        },
    )

    id: JobId | None = Field(default=None, description='Made by the desk unless you want to choose it (uuid7 hex).')
    conversation_id: Short = ''
    batch: str = Field(default='', max_length=64, description='The open batch that it belongs to.')
    after: list[JobId] = Field(
        default=[], max_length=100, description='Jobs to be completed first; {{1}} in texts is the answer of the first.'
    )
    due_at: Seconds = Field(default=0.0, description='Not before this time, unix seconds.')
    delay_s: Seconds = Field(default=0.0, description='Not before so many seconds have passed.')
    deadline_at: Seconds = Field(default=0.0, description='Not started by then it is dead, unix seconds.')
    retry_base_s: float = Field(default=0.0, ge=0, le=3600, description='Back-off before the first retry; 0: as set.')
    retry_max_s: float = Field(default=0.0, ge=0, le=86400, description='Longest back-off; 0: as set.')
    attach: bool = Field(default=False, description='Where the same request that says so is alive, be that job.')
    idempotency_key: str = Field(
        default='', max_length=200, description='The same key with the same request is the same job; or as a header.'
    )

    @model_validator(mode='after')
    def _starts_once(self) -> Self:
        if self.due_at and self.delay_s:
            raise ValueError('give either due_at or delay_s')
        return self

    def submit(self, job_id: str, model: str, user: str, now: float) -> protocol.Submit:
        """What the queue takes. Raises ``Trouble``."""
        return protocol.Submit(
            job_id=job_id,
            kind=self.kind_meant(),
            model=model,
            body=self.native(model),
            path=self.path,
            priority=self.priority_meant(),
            user=user,
            conversation_id=self.conversation_id,
            parent=self.batch,
            after=tuple(self.after),
            max_failures=self.max_failures,
            retry_base_s=self.retry_base_s,
            retry_max_s=self.retry_max_s,
            idempotency_key=self.idempotency_key,
            attach=self.attach,
            due_at=now + self.delay_s if self.delay_s else self.due_at,
            deadline_at=self.deadline_at,
        )


class PriorityChange(BaseModel):
    """A new priority for a job that waits."""

    model_config = _FORM

    priority: (
        Annotated[int, Field(strict=True, ge=MIN_PRIORITY, le=MAX_PRIORITY)]
        | Literal['critical', 'realtime', 'high', 'normal', 'low', 'batch']
    )

    def meant(self) -> int:
        """0 to 15."""
        return self.priority if isinstance(self.priority, int) else caller.NAMES[self.priority]


class BatchRequest(BaseModel):
    """A batch: with its `jobs`, or with their `total` when they come later."""

    model_config = ConfigDict(
        extra='forbid',
        json_schema_extra={'examples': [{'name': 'titles', 'jobs': [{'model': 'qwen3', 'prompt': 'A title for …'}]}]},
    )

    name: str = Field(default='', max_length=200)
    user: Short = ''
    total: int | None = Field(default=None, ge=1, le=1_000_000, description='So many jobs will come.')
    jobs: list[JobRequest] = Field(default=[], max_length=1000)

    @model_validator(mode='after')
    def _has_jobs(self) -> Self:
        if not self.jobs and self.total is None:
            raise ValueError('give jobs, or the total of those that will come')
        if self.total is not None and self.total < len(self.jobs):
            raise ValueError('total is less than there are jobs')
        return self


class MoreJobs(BaseModel):
    """Jobs for an open batch."""

    model_config = _FORM

    jobs: list[JobRequest] = Field(min_length=1, max_length=1000)


class ScheduleRequest(Ask):
    """A job that is made again and again."""

    model_config = ConfigDict(
        json_schema_extra={
            'examples': [
                {
                    'name': 'news',
                    'cron': '0 7 * * 1-5',
                    'timezone': 'Asia/Shanghai',
                    'model': 'qwen3',
                    'prompt': 'News?',
                }
            ]
        },
    )

    name: str = Field(default='', max_length=200)
    cron: str = Field(max_length=200, description='Five fields: minute, hour, day, month, weekday.')
    timezone: str = Field(default='UTC', max_length=100, description='An IANA name.')
    enabled: bool = True
    missed: Literal['skip', 'once'] = Field(default='skip', description='When ticks were missed: no job, or one.')


class ScheduleChange(BaseModel):
    """Switch a schedule on or off."""

    model_config = _FORM

    enabled: bool


class PauseRequest(BaseModel):
    """Let nothing of this start any more."""

    model_config = ConfigDict(extra='forbid', json_schema_extra={'examples': [{'scope': 'model', 'name': 'qwen3'}]})

    scope: Scope
    name: str = Field(default='', max_length=300, description='Which one; empty for all.')
    drain: bool = Field(default=False, description='And tell, as the fact Drained, when the last run of it has ended.')


class Filter(BaseModel):
    """Which jobs; what is left out lets everything through."""

    model_config = _FORM

    model: Short = ''
    user: Short = ''
    batch: str = Field(default='', max_length=64)
    cursor: int = Field(default=0, ge=0, le=2**53, description='`next_cursor` of the page before.')
    limit: int = Field(default=50, ge=1, le=1000)

    def query(self, model: str, states: tuple[State, ...]) -> protocol.FindJobs:
        """The same for the queue, newest first."""
        return protocol.FindJobs(
            states=states, model=model, user=self.user, parent=self.batch, before_order=self.cursor, limit=self.limit
        )


class Find(Filter):
    """Which jobs, and in which order."""

    state: list[State] = Field(default=[], max_length=len(State), description='Repeat it for several.')
    order: Literal['newest', 'oldest'] = 'newest'


class ReplayRequest(BaseModel):
    """Which dead jobs to do again; empty filters let everything through."""

    model_config = _FORM

    model: Short = ''
    user: Short = ''
    batch: str = Field(default='', max_length=64)


class RetireRequest(BaseModel):
    """How a worker leaves."""

    model_config = _FORM

    grace_s: float = Field(default=300.0, ge=0, le=86400, description='Then it hands back what still runs.')
