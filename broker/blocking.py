"""``broker.jobs`` for programs without ``await``: the same calls, on an event loop in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

from broker import child, errors, facts
from broker.job import Job
from broker.jobs import WINDOW, Handle, Jobs, Prompt, Result

T = TypeVar('T')
IN_ORDER_S = 5.0  # for work that was interrupted: a map still has to cancel its jobs


class BlockingHandle:
    """One job; see ``jobs.Handle``."""

    def __init__(self, loop: 'Loop', handle: Handle) -> None:
        self.job_id = handle.job_id
        self._loop = loop
        self._handle = handle

    def lines(self) -> Iterator[bytes]:
        """The answer's lines as they come."""
        return self._loop.each(self._handle.lines)

    def stream(self) -> Iterator[str]:
        """The text of the answer in pieces as they come."""
        return self._loop.each(self._handle.stream)

    def result(self, *, check: bool = True) -> Result:
        """The whole answer, once there is one."""
        return self._loop.do(self._handle.result(check=check))

    def state(self) -> Job:
        """The job as it stands."""
        return self._loop.do(self._handle.state())

    def place(self) -> int:
        """How many jobs go first, -1 when it does not wait."""
        return self._loop.do(self._handle.place())

    def cancel(self) -> None:
        """Stop it."""
        self._loop.do(self._handle.cancel())

    def set_priority(self, priority: int) -> None:
        """Move it to another priority while it waits, 0–15."""
        self._loop.do(self._handle.set_priority(priority))


class BlockingJobs:
    """Submits jobs and follows them; see ``jobs.Jobs``. May be used from several threads.

    ``connect`` makes the ``Jobs`` on the loop: ``with BlockingJobs(lambda: connect(…)) as jobs: …``.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Jobs]]) -> None:
        self._connect = connect
        self._loop = Loop()

    def __enter__(self) -> Self:
        self._loop.start()
        try:
            self._context = self._loop.do(_made(self._connect))
            self._jobs = self._loop.do(self._context.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._loop.do(self._context.__aexit__(None, None, None))
        finally:
            self._loop.stop()

    def submit(self, kind: str, model: str, body: dict[str, Any] | bytes, **options: Any) -> BlockingHandle:
        """Queue one job."""
        return self._handle(self._jobs.submit(kind, model, body, **options))

    def chat(self, model: str, prompt: Prompt, **options: Any) -> BlockingHandle:
        """Queue a chat: one message as text, or the messages, or a whole body."""
        return self._handle(self._jobs.chat(model, prompt, **options))

    def generate(self, model: str, prompt: str, **options: Any) -> BlockingHandle:
        """Queue a completion of ``prompt``."""
        return self._handle(self._jobs.generate(model, prompt, **options))

    def embed(self, model: str, texts: str | list[str], **options: Any) -> list[list[float]]:
        """The vectors of these texts."""
        return self._loop.do(self._jobs.embed(model, texts, **options))

    def handle(self, job_id: str, kind: str = 'chat') -> BlockingHandle:
        """A job that was submitted earlier, or by somebody else."""
        return BlockingHandle(self._loop, self._jobs.handle(job_id, kind))

    def map(
        self,
        model: str,
        prompts: Iterable[Prompt],
        *,
        window: int = WINDOW,
        on_progress: Callable[[int], object] = lambda done: None,
        **options: Any,
    ) -> Iterator[Result]:
        """Chat after chat, results in the order of the prompts; ``on_progress`` is called on the loop's thread."""
        jobs = self._jobs
        return self._loop.each(lambda: jobs.map(model, prompts, window=window, on_progress=on_progress, **options))

    def events(self, after_seq: int | None = None) -> Iterator[facts.AnyFact]:
        """Every fact behind ``after_seq`` (None: from now on), for ever."""
        return self._loop.each(lambda: self._jobs.events(after_seq))

    def _handle(self, submitting: Coroutine[Any, Any, Handle]) -> BlockingHandle:
        return BlockingHandle(self._loop, self._loop.do(submitting))


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = child.new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name='corral-jobs', daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; whatever is under way is cut off, and who waits for it is told."""
        self.do(_cut_off())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it. When the wait is interrupted, so is the work, which may first put things in order."""
        made = Future[asyncio.Task[T]]()
        ended = threading.Event()

        def begin() -> None:
            task = self._loop.create_task(work)
            task.add_done_callback(lambda _: ended.set())
            made.set_result(task)

        self._loop.call_soon_threadsafe(begin)
        try:
            ended.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: made.result().cancel())
            ended.wait(IN_ORDER_S)
            raise
        if made.result().cancelled():
            raise errors.BrokerError('The queue was closed meanwhile.')
        return made.result().result()

    def each(self, items: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
        """One after the other; leaving early ends the source."""
        source = items()
        try:
            while True:
                item = self.do(_next(source))
                if item is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            with contextlib.suppress(RuntimeError):  # the loop was stopped meanwhile
                self.do(source.aclose())


async def _cut_off() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


async def _made(make: Callable[[], T]) -> T:
    return make()


async def _next(source: AsyncGenerator[T, None]) -> T | object:
    return await anext(source, _END)


_END = object()
