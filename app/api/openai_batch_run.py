"""One batch at work: its file is checked, its lines become jobs, and their answers become two files.

Whatever it was doing when the desk ended, it does again from the beginning of that step: jobs that are in the queue
already are found there, and files are replaced.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from app.api import openai, openai_batch_lines
from app.api.openai_batch import KIND, OPEN, OVER, Counts, Kept, Problem, Problems
from app.api.openai_batch_lines import Answered, Line
from app.api.openai_shelf import Draft, Shelf
from app.api.trouble import Trouble
from app.api.work import Doors
from broker import errors, protocol
from broker.job import FINAL

MOST_PROBLEMS = 100  # lines that are named when a file is refused
PART = 20  # lines that are read at a time
PART_BYTES = protocol.MAX_BODY_BYTES  # of jobs that are sent at a time
ALIVE = 2_000  # jobs of it that wait or run, about
AT_ONCE = 8  # lines whose answers are in memory
LOOK_S = 0.1  # how long to wait before looking again, at first
LONGEST_LOOK_S = 2.0
AGAIN_S = 2.0

log = logging.getLogger(__name__)


class Refused(Exception):
    """The file cannot be a batch."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f'{len(problems)} problems')
        self.problems = problems


class Run:
    """Brings a batch to its end. ``run`` it as a task; ``cancel`` may be called at any time."""

    def __init__(self, doors: Doors, shelf: Shelf, kept: Kept) -> None:
        self.kept = kept
        self._doors = doors
        self._shelf = shelf
        self._cancelled = asyncio.Event()
        if kept.batch.status == 'cancelling':
            self._cancelled.set()

    async def run(self) -> None:
        """Until it is over."""
        batch = self.kept.batch
        problems: list[Problem] = []
        while not batch.over:
            try:
                await (self._fail(problems) if problems else self._step())
            except Refused as refused:
                problems = refused.problems
            except (Trouble, errors.BrokerError) as failure:  # of the disk or of the queue: they come back
                log.warning('a batch waits: %s', failure, extra={'action': 'batch', 'batch_id': batch.id})
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception('a batch failed', extra={'action': 'batch', 'batch_id': batch.id})
                detail = 'Something is wrong on our side; the details are in the log of the desk.'
                problems = [Problem(code='server_error', message=detail)]

    async def cancel(self) -> None:
        """Stop it; what has an answer by now keeps it."""
        batch = self.kept.batch
        self._cancelled.set()
        if batch.status != 'cancelling':
            batch.cancelling_at = int(time.time())
            await self._become('cancelling')

    async def counts(self) -> Counts:
        """How many of its lines have ended, as far as is known now."""
        batch = self.kept.batch
        known = batch.request_counts
        if not self.kept.jobs or batch.over:
            return known
        try:
            found = await self._doors.broker.batch(batch.queue_id)
        except (Trouble, errors.BrokerError):
            return known
        lines, jobs = known.total, self.kept.jobs
        completed, failed = found.completed * lines // jobs, (found.dead + found.cancelled) * lines // jobs
        return Counts(total=lines, completed=completed, failed=failed)

    async def _step(self) -> None:
        batch = self.kept.batch
        if batch.status == 'validating':
            await self._validate()
        if batch.status == 'in_progress' and not self._cancelled.is_set():
            await self._submit()
            await self._end()
        if self._cancelled.is_set():
            await self._stop()
        elif batch.status == 'in_progress':
            batch.finalizing_at = int(time.time())
            await self._become('finalizing')
        await self._collect()

    # its file is checked

    async def _validate(self) -> None:
        kept, batch = self.kept, self.kept.batch
        problems: list[Problem] = []
        asked: dict[str, int] = {}  # models, with the first line that asks for each
        count = jobs = 0
        async with contextlib.aclosing(self._lines()) as parts:
            async for part in parts:
                for found in part:
                    if isinstance(found, Line):
                        count, jobs = count + 1, jobs + len(found.call.natives)
                        asked.setdefault(found.call.asked.model or '', found.number)
                    else:
                        problems.append(_problem(*found))
                if len(problems) >= MOST_PROBLEMS or self._cancelled.is_set():
                    break
        if not count and not problems:
            problems = [Problem(code='empty_file', message='The file has no line.')]
        if not problems and not self._cancelled.is_set():
            kept.models = await self._announced(asked)
        if problems:
            raise Refused(problems[:MOST_PROBLEMS])
        if self._cancelled.is_set():
            return
        kept.jobs, batch.request_counts = jobs, Counts(total=count)
        batch.model = next(iter(asked)) if len(asked) == 1 else None
        batch.in_progress_at = int(time.time())
        await self._become('in_progress')

    async def _announced(self, asked: dict[str, int]) -> dict[str, str]:
        """The models as they were announced; waits while no machine is there that could have them."""
        while True:
            try:
                return {name: openai.announced(self._doors, name) for name in asked}
            except Trouble as failure:
                if failure.code == 'model_not_found':
                    wrong = [name for name in asked if not self._doors.board.name_of(name)]
                    raise Refused(
                        [_problem(asked[name], openai.no_such_model(name)) for name in wrong[:MOST_PROBLEMS]]
                    ) from None
            await self._wait(AGAIN_S)
            if self._cancelled.is_set() or self._late:
                return {}

    # its lines become jobs

    async def _submit(self) -> None:
        kept, batch = self.kept, self.kept.batch
        broker = self._doors.broker
        await broker.open_batch(batch.queue_id, kept.jobs, name=batch.id, user=kept.user)
        if (await broker.batch(batch.queue_id)).submitted == kept.jobs:
            return
        terms: dict[str, Any] = {'priority': kept.priority, 'user': kept.user, 'deadline_at': float(batch.expires_at)}

        def jobs_of(lines: list[Line]) -> list[protocol.Submit]:
            made = (openai_batch_lines.submits(line, batch.queue_id, kept.models, **terms) for line in lines)
            return [job for jobs in made for job in jobs]

        async with contextlib.aclosing(self._lines()) as parts:
            async for part in parts:
                await self._room()
                if self._cancelled.is_set() or self._late:
                    return
                for portion in _portions(await asyncio.to_thread(jobs_of, part)):
                    await self._send(portion)

    async def _room(self) -> None:
        """Wait until few enough of its jobs are alive: the queue has only so much room, and others want some, too."""
        while not self._cancelled.is_set() and not self._late:
            found = await self._doors.broker.batch(self.kept.batch.queue_id)
            if found.submitted - found.completed - found.dead - found.cancelled < ALIVE:
                return
            await self._wait(LONGEST_LOOK_S / 4)

    async def _wait(self, seconds: float) -> None:
        """So long, unless it is cancelled meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cancelled.wait(), seconds)

    async def _send(self, jobs: list[protocol.Submit]) -> None:
        """Queue them all, however often the queue is full meanwhile."""
        while jobs and not self._cancelled.is_set() and not self._late:
            results = await self._doors.broker.submit_many(jobs)
            again = [(job, no) for job, no in zip(jobs, results, strict=True) if isinstance(no, protocol.Refused)]
            for _, no in again:
                if no.code not in ('queue_full', 'disk_full') and not self._late:
                    raise Refused([Problem(code=no.code, message=no.detail)])
            jobs = [job for job, _ in again]
            if again:
                await self._wait(again[0][1].retry_after_s or AGAIN_S)

    async def _end(self) -> None:
        """Wait until all jobs have ended; when the time is over, those that wait end."""
        broker, name = self._doors.broker, self.kept.batch.queue_id
        pause_s = LOOK_S
        while not self._cancelled.is_set():
            found = await broker.batch(name)
            if found.ended_at:
                return
            if self._late and found.submitted < found.total:
                await self._stop()
                return
            await self._wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    async def _stop(self) -> None:
        with contextlib.suppress(errors.Refused):  # it has ended, or never began
            await self._doors.broker.cancel_batch(self.kept.batch.queue_id)

    # their answers become files

    async def _collect(self) -> None:
        batch = self.kept.batch
        drafts = [self._draft('output'), self._draft('error')]
        tally = _Tally(self._late and not self._cancelled.is_set())
        try:
            if self.kept.jobs:
                async with contextlib.aclosing(self._lines()) as parts:
                    async for part in parts:
                        for few in openai_batch_lines.portions(part, AT_ONCE):
                            await self._write(few, drafts, tally)
            files = [None if draft.empty else (await draft.finish()).id for draft in drafts]
        finally:
            for draft in drafts:
                await draft.discard()
        batch.output_file_id, batch.error_file_id = files
        if self.kept.jobs:
            batch.request_counts, batch.usage = tally.counts(batch.request_counts.total), tally.usage()
        if self._cancelled.is_set():
            batch.cancelled_at = int(time.time())
            await self._become('cancelled')
        elif tally.expired:
            batch.expired_at = int(time.time())
            await self._become('expired')
        else:
            batch.completed_at = int(time.time())
            await self._become('completed')

    async def _write(self, lines: list[Line], drafts: list[Draft], tally: '_Tally') -> None:
        name = self.kept.batch.queue_id
        every = [line.job_ids(name) for line in lines]
        found = await asyncio.gather(*(self._answered(job_id) for ids in every for job_id in ids))
        left = iter(found)
        for line, ids in zip(lines, every, strict=True):
            answers = [next(left) for _ in ids]
            data, code = openai_batch_lines.result(line, ids, answers, expired=tally.late)
            tally.note(code, answers)
            await drafts[bool(code)].write(data)

    async def _answered(self, job_id: str) -> Answered:
        """A job when it has ended, with its answer."""
        broker, pause_s = self._doors.broker, LOOK_S
        while True:
            try:
                job = (await broker.get(job_id)).job
            except errors.Refused:
                return Answered(None, [])
            if job.state in FINAL:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)
        return Answered(job, list((await broker.read_all(job_id)).lines))

    def _draft(self, what: str) -> Draft:
        kept = self.kept
        name = f'file-{kept.batch.queue_id}-{what}'  # the same when it is written again
        filename = f'{kept.batch.id}_{what}.jsonl'
        return self._shelf.draft(filename, 'batch_output', name=name, kept_s=kept.output_kept_s)

    # what all steps need

    async def _lines(self) -> AsyncGenerator[list[Any], None]:
        """The lines of the file, some at a time, read on a thread."""
        batch = self.kept.batch
        file = await self._shelf.file(batch.input_file_id)
        source = await asyncio.to_thread(open, self._shelf.path(file), 'rb')
        try:
            parts: Iterator[list[Any]] = openai_batch_lines.portions(
                openai_batch_lines.read(source, batch.endpoint), PART
            )
            while part := await asyncio.to_thread(next, parts, None):
                yield part
        finally:
            source.close()

    async def _fail(self, problems: list[Problem]) -> None:
        await self._stop()
        self.kept.batch.errors = Problems(data=problems)
        self.kept.batch.failed_at = int(time.time())
        await self._become('failed')

    async def _become(self, status: str) -> None:
        batch = self.kept.batch
        was, batch.status = batch.status, 'cancelling' if self._cancelled.is_set() and status not in OVER else status
        try:
            await self._shelf.keep(KIND, batch.id, self.kept, tag='' if batch.over else OPEN)
        except Trouble:
            batch.status = was  # or a restart would know nothing of it
            raise

    @property
    def _late(self) -> bool:
        return time.time() >= self.kept.batch.expires_at


class _Tally:
    """How the lines ended."""

    def __init__(self, late: bool) -> None:
        self.late = late
        self.expired = False
        self._completed = self._failed = self._asked = self._said = 0

    def note(self, code: str, answers: list[Answered]) -> None:
        """One more line."""
        self._failed += bool(code)
        self._completed += not code
        self.expired = self.expired or code == openai_batch_lines.EXPIRED[0]
        for job in (each.job for each in answers if each.job is not None and not code):
            self._asked += job.usage.prompt_tokens
            self._said += job.usage.output_tokens

    def counts(self, total: int) -> Counts:
        """Of all lines."""
        return Counts(total=total, completed=self._completed, failed=self._failed)

    def usage(self) -> dict[str, Any]:
        """Tokens of all lines that have an answer."""
        return {
            'input_tokens': self._asked,
            'input_tokens_details': {'cached_tokens': 0},
            'output_tokens': self._said,
            'output_tokens_details': {'reasoning_tokens': 0},
            'total_tokens': self._asked + self._said,
        }


def _problem(number: int, failure: Trouble) -> Problem:
    code = 'invalid_request' if failure.code == 'bad_request' else failure.code
    return Problem(code=code, message=failure.detail, line=number, param=failure.param)


def _portions(jobs: list[protocol.Submit]) -> Iterator[list[protocol.Submit]]:
    """As many at a time as fit into one message."""
    part: list[protocol.Submit] = []
    size = 0
    for job in jobs:
        if part and size + len(job.body) > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(job)
        size += len(job.body)
    if part:
        yield part
