"""Telling the user about a job as it goes: its answer, why it waits, how it ended."""

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from app.commands import answers, follow
from app.commands.command import Exit, Here
from app.commands.terminal import Stream, clean
from app.commands.views import job_dict, why_waiting
from broker import errors
from broker.job import Job, State

if TYPE_CHECKING:
    from broker.client import BrokerClient

Deed = Callable[[str], Awaitable[str]]


def answer(here: Here, job: Job, lines: Sequence[bytes]) -> None:
    """Print an answer: its text, or the job with it for programs. The body of a raw reply goes into a pipe as it is."""
    if here.out.as_json:
        here.out.document(job_dict(job) | answer_dict(job, lines))
    elif job.kind == 'raw' and not here.out.on_terminal:
        sys.stdout.buffer.write(answers.body(lines))
        sys.stdout.buffer.flush()
    elif lines:
        here.out.text(clean(answers.text(job.kind, lines)))


def answer_dict(job: Job, lines: Sequence[bytes]) -> dict[str, object]:
    """An answer for programs."""
    import msgspec

    if job.kind == 'embed':
        try:
            return {'embeddings': msgspec.json.decode(lines[-1]).get('embeddings') if lines else None}
        except (msgspec.MsgspecError, AttributeError):
            return {'embeddings': None}
    found: dict[str, object] = {'text': answers.text(job.kind, lines)}
    if job.kind == 'raw':
        found['status'] = answers.status(lines)
    elif thinking := answers.thinking(job.kind, lines):
        found['thinking'] = thinking
    return found


def verdict(here: Here, job: Job, status: int = 0) -> int:
    """The exit code for a job, and on stderr what is wrong with it, if anything."""
    if job.state is State.COMPLETED:
        if status >= 400:
            here.out.note(f'The engine answered with HTTP status {status}.')
            return Exit.FAILED
        if job.usage.truncated:
            here.out.note('The engine ended the answer without saying that it is complete.')
        return Exit.OK
    sentence = {
        State.DEAD: f'Job {job.job_id} failed: {job.code}: {job.detail}',
        State.CANCELLED: f'Job {job.job_id} was cancelled.',
    }.get(job.state, f'Job {job.job_id} is {job.state}; the answer is not complete. --wait waits for it.')
    here.out.note(sentence)
    return Exit.FAILED


async def ended(here: Here, broker: 'BrokerClient', job_id: str) -> None:
    """Wait for a job's end; on Ctrl-C the job goes on."""
    with _Waiting(here) as waiting:
        try:
            async for news in follow.follow(here, broker, job_id):
                waiting.hear(news)
        except asyncio.CancelledError:
            waiting.stop()
            here.out.note(f'The job goes on; "result {job_id} --wait" waits for it again.')
            raise


async def stream(here: Here, broker: 'BrokerClient', job_id: str, kind: str) -> int:
    """Print a job's answer as it comes; on Ctrl-C, and when its reader goes, cancel it. Returns the exit code."""
    speaker = _Speaker(here, kind)
    job = None
    try:
        with _Waiting(here) as waiting:
            async for news in follow.follow(here, broker, job_id):
                waiting.hear(news)
                job = speaker.hear(news)
    except asyncio.CancelledError:
        speaker.close()
        word = 'was cancelled' if await give_up(broker, job_id) else 'had already ended'
        if here.out.as_json:
            here.out.line({'type': 'cancelled', 'job_id': job_id})
        here.out.note(f'Job {job_id} {word}.')
        return Exit.INTERRUPTED
    except BrokenPipeError:  # nobody reads it any more
        await give_up(broker, job_id)
        raise
    assert job
    return verdict(here, job, speaker.status)


async def give_up(broker: 'BrokerClient', job_id: str) -> bool:
    """Cancel a job unless somebody else waits for it as well; False when it had ended before."""
    try:
        await broker.cancel(job_id, release=True)
    except errors.Refused:
        return False
    return True


class _Speaker:
    """Prints an answer as it grows."""

    def __init__(self, here: Here, kind: str) -> None:
        self._here = here
        self._kind = kind
        self._text, self._thinking = Stream(), Stream()
        self._at_line_start = True
        self._dim = False
        self.status = 0

    def hear(self, news: follow.News) -> Job | None:
        """Print what is new; the job when it is over."""
        as_json, line = self._here.out.as_json, self._here.out.line
        match news:
            case follow.Began():
                if as_json:
                    line({'type': 'started', 'epoch': news.epoch, 'worker': news.worker})
                if not self._at_line_start:
                    self.close()
                    self._here.out.note('— the answer begins anew —')
            case follow.Waits() if as_json:
                line({'type': 'waiting', 'reason': news.place.reason, 'ahead': news.place.ahead})
            case follow.Back():
                if as_json:
                    line({'type': 'requeued', 'reason': news.fact.reason, 'code': news.fact.code})
            case follow.Lines():
                for each in news.lines:
                    self._say(each)
            case follow.Ended():
                self.close()
                if as_json:
                    line({'type': 'ended', **job_dict(news.job)})
                return news.job
        return None

    def close(self) -> None:
        """End the line that is begun."""
        if not self._here.out.as_json:
            self._print(self._text.end(), dim=False)
            end = ('' if self._at_line_start else '\n') + ('\x1b[0m' if self._dim else '')
            self._here.out.text(end, end='')
            self._dim = False
        self._at_line_start = True

    def _say(self, line: bytes) -> None:
        said = answers.said(self._kind, line)
        self.status = self.status or (answers.status([line]) if self._kind == 'raw' else 0)
        if self._here.out.as_json:
            for name, piece in (('thinking', said.thinking), ('text', said.text)):
                if piece:
                    self._here.out.line({'type': name, 'text': piece})
            return
        if self._here.out.on_terminal:  # in a file or a pipe only the answer itself is wanted
            self._print(self._thinking.feed(said.thinking), dim=True)
        self._print(self._text.feed(said.text), dim=False)

    def _print(self, text: str, *, dim: bool) -> None:
        if not text:
            return
        if dim != self._dim and self._here.out.on_terminal:
            text = ('\x1b[2m' if dim else '\x1b[0m\n') + text
            self._dim = dim
        self._here.out.text(text, end='')
        self._at_line_start = text.endswith('\n')


class _Waiting:
    """One line on a terminal's stderr that says what a job waits for; it is gone when the answer begins.

    Where stderr is no terminal it is said once, and only what waiting alone does not solve.
    """

    def __init__(self, here: Here) -> None:
        self._here = here
        self._on = sys.stderr.isatty()
        self._shown = self._told = False

    def __enter__(self) -> '_Waiting':
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hear(self, news: follow.News) -> None:
        """Show why it waits, or that it was put back."""
        if isinstance(news, follow.Waits):
            if not (self._on or self._told) and news.place.reason in ('no_worker', 'paused'):
                self._told = True
                self._here.out.note(f'The job is waiting: {why_waiting(news.place, time.time())}.')
            self._show(f'waiting: {why_waiting(news.place, time.time())}')
        elif isinstance(news, follow.Back):
            self._show('failed, is tried again' if news.fact.reason == 'retry' else 'goes to another worker')
        elif isinstance(news, follow.Began):
            self._show('running')
        else:
            self.stop()

    def stop(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write('\r\x1b[K')
            sys.stderr.flush()
            self._shown = False

    def _show(self, text: str) -> None:
        if self._on:
            text = text[: shutil.get_terminal_size().columns - 3]  # what wraps could not be taken away again
            sys.stderr.write(f'\r\x1b[K{text} …')
            sys.stderr.flush()
            self._shown = True
