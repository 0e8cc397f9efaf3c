"""Jobs from a program's side: submit, stream, wait, by the thousand where needed, over one connection and one feed.

``async with BrokerClient(endpoints) as broker, Jobs(broker) as jobs: …``; ``broker.blocking`` has the same without
``await``. Whoever wants to speak to the queue itself takes ``BrokerClient``.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

import msgspec

from broker import errors, facts, protocol, templates
from broker.client import BrokerClient, new_job_id
from broker.job import AUTO_PRIORITY, FINAL, Job, State

WINDOW = 64  # jobs of a ``map`` that are under way at once
LONGEST_PAUSE_S = 5.0  # when the queue is full, until the next try

Prompt = str | list[dict[str, Any]] | dict[str, Any]


class JobFailed(errors.BrokerError):
    """The job has no complete answer. ``code`` and ``detail`` say why; ``result`` has what there is."""

    def __init__(self, result: 'Result') -> None:
        job = result.job
        super().__init__(job.detail or f'the job is {job.state}')
        self.code = job.code or str(job.state)
        self.detail = str(self)
        self.result = result


class Result(NamedTuple):
    """How a job ended, and the NDJSON lines of its answer as the engine wrote them."""

    job: Job
    lines: tuple[bytes, ...]

    @property
    def ok(self) -> bool:
        """Whether the answer is whole."""
        return self.job.state is State.COMPLETED

    @property
    def text(self) -> str:
        """The text of a chat or of what was generated; of other kinds the JSON."""
        return templates.text_of(self.job.kind, self.lines)


class Handle:
    """One job that was submitted. It may be followed more than once, and not at all."""

    def __init__(self, jobs: 'Jobs', job_id: str, kind: str) -> None:
        self.job_id = job_id
        self._jobs = jobs
        self._kind = kind

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The answer's lines as they come, each once. Raises ``JobFailed`` at the end of one that failed.

        When the job has to begin anew after lines were given (its worker died, say), that raises ``JobFailed``, too,
        with code 'restarted': what was given does not belong to the new answer. ``result`` waits for that one.
        """
        with self._jobs.listening(self.job_id) as heard:
            epoch = given = 0
            while True:
                ended = await heard.news()
                part = await self._jobs.broker.read_all(self.job_id, epoch, given)
                if part.epoch != epoch:
                    if given:
                        raise JobFailed(Result(_restarted(await self.state()), ()))
                    epoch = part.epoch
                for line in part.lines:
                    yield line
                given += len(part.lines)
                if ended or part.ended:
                    state = await self.state()
                    if state.state is not State.COMPLETED:
                        raise JobFailed(Result(state, part.lines))
                    return

    async def stream(self) -> AsyncGenerator[str, None]:
        """The text of the answer in pieces as they come. Raises as ``lines`` does."""
        async with contextlib.aclosing(self.lines()) as lines:
            async for line in lines:
                if piece := templates.text_of(self._kind, (line,)):
                    yield piece

    async def result(self, *, check: bool = True) -> Result:
        """The whole answer, once there is one. Raises ``JobFailed`` when it failed, unless ``check`` is off."""
        with self._jobs.listening(self.job_id) as heard:
            while (state := await self.state()).state not in FINAL:
                while not await heard.news():
                    pass
        result = Result(state, (await self._jobs.broker.read_all(self.job_id)).lines)
        if check and not result.ok:
            raise JobFailed(result)
        return result

    async def state(self) -> Job:
        """The job as it stands."""
        return (await self._jobs.broker.get(self.job_id)).job

    async def place(self) -> int:
        """How many jobs go first, -1 when it does not wait."""
        return (await self._jobs.broker.get(self.job_id)).ahead

    async def cancel(self) -> None:
        """Stop it; it is no error when it has ended already."""
        try:
            await self._jobs.broker.cancel(self.job_id)
        except errors.Refused as refused:
            if refused.code != 'final':
                raise

    async def set_priority(self, priority: int) -> None:
        """Move it to another priority while it waits, 0–15."""
        await self._jobs.broker.set_priority(self.job_id, priority)


class Jobs:
    """Submits jobs and follows them. All methods may raise what ``BrokerClient`` raises."""

    def __init__(self, broker: BrokerClient, *, user: str = '') -> None:
        self.broker = broker
        self._user = user
        self._heard: dict[str, list[_Heard]] = {}

    async def __aenter__(self) -> Self:
        seq = (await self.broker.ping()).seq
        self._feed = asyncio.create_task(self._listen(seq), name='jobs-feed')
        return self

    async def __aexit__(self, *_: object) -> None:
        self._feed.cancel()
        await asyncio.gather(self._feed, return_exceptions=True)

    async def submit(self, kind: str, model: str, body: dict[str, Any] | bytes, **options: Any) -> Handle:
        """Queue one job: ``kind`` is chat, generate, embed or raw, ``body`` the JSON for the engine.

        ``options`` are fields of ``protocol.Submit``: priority (or 'auto'), user, conversation_id, after, due_at,
        deadline_at, max_failures, idempotency_key, attach, …
        """
        request = self._request(kind, model, body, options)
        accepted = await self.broker.submit(request)
        return Handle(self, accepted.job_id, kind)

    async def chat(self, model: str, prompt: Prompt, **options: Any) -> Handle:
        """Queue a chat: one message as text, or the messages, or a whole body."""
        return await self.submit('chat', model, _chat_body(model, prompt), **options)

    async def generate(self, model: str, prompt: str, **options: Any) -> Handle:
        """Queue a completion of ``prompt``."""
        return await self.submit('generate', model, {'model': model, 'prompt': prompt}, **options)

    async def embed(self, model: str, texts: str | list[str], **options: Any) -> list[list[float]]:
        """The vectors of these texts."""
        body = {'model': model, 'input': texts}
        result = await (await self.submit('embed', model, body, **options)).result()
        return msgspec.json.decode(result.lines[0], type=_Vectors).embeddings

    def handle(self, job_id: str, kind: str = 'chat') -> Handle:
        """A job that was submitted earlier, or by somebody else."""
        return Handle(self, job_id, kind)

    async def map(
        self,
        model: str,
        prompts: Iterable[Prompt] | AsyncIterable[Prompt],
        *,
        window: int = WINDOW,
        on_progress: Callable[[int], object] = lambda done: None,
        **options: Any,
    ) -> AsyncGenerator[Result, None]:
        """Chat after chat, results in the order of the prompts. At most ``window`` are under way and in memory.

        A job that fails is a result that is not ``ok``; the others go on. ``on_progress`` hears how many are done.
        Leaving early cancels those under way.
        """
        source = aiter(prompts) if isinstance(prompts, AsyncIterable) else _from(prompts)
        ahead: deque[Handle] = deque()
        done = 0
        try:
            async for prompt in source:
                ahead.append(await self._submit_patiently(model, prompt, options))
                if len(ahead) >= window:
                    yield await self._next_of(ahead)
                    done += 1
                    on_progress(done)
            while ahead:
                yield await self._next_of(ahead)
                done += 1
                on_progress(done)
        finally:
            for handle in ahead:
                with contextlib.suppress(errors.BrokerError):
                    await handle.cancel()

    async def events(self, after_seq: int | None = None) -> AsyncGenerator[facts.AnyFact, None]:
        """Every fact behind ``after_seq`` (None: from now on), each once and in order, for ever."""
        seq = (await self.broker.ping()).seq if after_seq is None else after_seq
        async with contextlib.aclosing(self.broker.feed(seq)) as feed:
            async for item in feed:
                if isinstance(item, protocol.FactOut):
                    yield item.fact

    @contextlib.contextmanager
    def listening(self, job_id: str) -> 'Iterator[_Heard]':
        """What is heard about one job from now on."""
        heard = _Heard()
        self._heard.setdefault(job_id, []).append(heard)
        try:
            yield heard
        finally:
            self._heard[job_id].remove(heard)
            if not self._heard[job_id]:
                del self._heard[job_id]

    async def _next_of(self, ahead: 'deque[Handle]') -> Result:
        result = await ahead[0].result(check=False)
        ahead.popleft()
        return result

    async def _submit_patiently(self, model: str, prompt: Prompt, options: dict[str, Any]) -> Handle:
        """A full queue is no reason to give up a thousand prompts."""
        request = self._request('chat', model, _chat_body(model, prompt), options)
        while True:
            try:
                return Handle(self, (await self.broker.submit(request)).job_id, 'chat')
            except errors.Refused as refused:
                if refused.code != 'queue_full':
                    raise
                await asyncio.sleep(min(refused.retry_after_s or 1.0, LONGEST_PAUSE_S))
            except asyncio.CancelledError:
                with contextlib.suppress(errors.BrokerError):  # it may be queued although nobody has told us
                    await self.broker.cancel(request.job_id)
                raise

    def _request(self, kind: str, model: str, body: dict[str, Any] | bytes, options: dict[str, Any]) -> protocol.Submit:
        fields = {'user': self._user, **options}
        if fields.get('priority') == 'auto':
            fields['priority'] = AUTO_PRIORITY
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return protocol.Submit(job_id=new_job_id(), kind=kind, model=model, body=data, **fields)

    async def _listen(self, seq: int) -> None:
        async for item in self.broker.feed(seq):
            match item:
                case protocol.TokensOut():
                    self._tell(item.job_id, ended=False)
                case protocol.FactOut(fact=facts.JobFact() as fact):
                    self._tell(fact.job_id, ended=isinstance(fact, facts.JobEnded))

    def _tell(self, job_id: str, *, ended: bool) -> None:
        for heard in self._heard.get(job_id, ()):
            heard.tell(ended=ended)


class _Heard:
    """Whether there is news of a job that nobody has looked at yet."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._event.set()  # what happened before is news, too
        self._ended = False

    def tell(self, *, ended: bool) -> None:
        self._ended = self._ended or ended
        self._event.set()

    async def news(self) -> bool:
        """Wait for news; whether the job has ended."""
        await self._event.wait()
        self._event.clear()
        return self._ended


class _Vectors(msgspec.Struct):
    embeddings: list[list[float]]


def _chat_body(model: str, prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, dict):
        return {'model': model, **prompt}
    messages = [{'role': 'user', 'content': prompt}] if isinstance(prompt, str) else prompt
    return {'model': model, 'messages': messages}


def _restarted(job: Job) -> Job:
    detail = 'the job began anew after a part of its answer was given'
    return msgspec.structs.replace(job, code='restarted', detail=detail)


async def _from(prompts: Iterable[Prompt]) -> AsyncIterator[Prompt]:
    for prompt in prompts:
        yield prompt
