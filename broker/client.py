"""The way to the broker from another process: requests with replies, and the feed of what happens."""

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Self, TypeVar, cast

import msgspec
import zmq
import zmq.asyncio

from broker import errand, errors, facts, keys, protocol, sockets
from broker.endpoints import Endpoints
from broker.job import FINAL, Job, State

ReplyT = TypeVar('ReplyT', bound=protocol.Reply)
PAGE = 200  # jobs of a list at a time
WATCH_S = 0.05  # how long to wait before looking at a job again, at first
SEND_AGAIN_S = 0.05
replay_id = keys.replay_id  # of the job that does a dead one again
tick_id = keys.tick_id  # of the job that a schedule makes for a tick
RESEND_S = 1.0  # every request is harmless to repeat, so a lost reply costs one more round


def new_job_id() -> str:
    """A UUID version 7 in hex (RFC 9562): sortable by time, 74 random bits."""
    millis = time.time_ns() // 1_000_000
    rand = int.from_bytes(os.urandom(10), 'big')
    value = millis << 80 | 0x7 << 76 | (rand >> 68 & 0xFFF) << 64 | 0b10 << 62 | rand & (1 << 62) - 1
    return f'{value:032x}'


class BrokerClient:
    """Requests to the broker. Use it as ``async with BrokerClient(endpoints) as broker:``; one per event loop.

    All methods raise ``errors.BrokerUnreachable`` after ``timeout_s`` without an answer, and ``errors.Refused`` when
    the broker says no.
    """

    def __init__(self, endpoints: Endpoints, *, timeout_s: float = 10.0) -> None:
        self._endpoints = endpoints
        self._timeout_s = timeout_s
        self._rids = itertools.count(1)
        self._pending: dict[int, _Asked] = {}
        self._outbox: list[bytes] = []  # what this round of the loop asks, encoded
        self._unsent = deque[bytes]()  # letters that have to wait
        self._sweeping: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0
        self._closed = False

    async def __aenter__(self) -> Self:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        sockets.tune(self._socket)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # without a broker, sending fails instead of piling up
        sockets.connect(self._socket, self._endpoints, self._endpoints.client)
        self._now: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket)  # the same socket, without waiting
        self._reader = asyncio.create_task(self._read_replies(), name='broker-replies')
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        if self._sweeping is not None:
            self._sweeping.cancel()
        for asked in self._pending.values():
            asked.give_up()
        self._context.destroy(linger=0)

    async def submit(self, job: protocol.Submit) -> protocol.Accepted:
        """Queue ``job``; returns when it is on disk. Safe to repeat with the same ``job_id``."""
        if len(job.body) > protocol.MAX_BODY_BYTES:
            raise errors.Refused('body_too_large', f'a job may have {protocol.MAX_BODY_BYTES} bytes at most')
        return await self._ask(job, protocol.Accepted)

    async def submit_many(self, jobs: Iterable[protocol.Submit]) -> tuple[protocol.Accepted | protocol.Refused, ...]:
        """Queue several jobs, also such that come ``after`` each other; what became of each, in their order.

        One that is refused stops no other; those in a circle are refused with ``circle``. At most 5,000 at once, and
        all together may have as many bytes as one message: with large bodies send fewer.
        """
        return (await self._ask(protocol.SubmitMany(jobs=tuple(jobs)), protocol.Submitted)).results

    async def cancel(self, job_id: str, *, release: bool = False, waiting: bool = False) -> None:
        """Stop a job. Returns when the wish is on disk; a running job ends a moment later.

        With ``release`` it ends only when no other caller waits for it (see ``Submit.attach``). With ``waiting`` a
        job that a worker has is left alone, and the wish refused with ``not_waiting``.
        """
        await self._ask(protocol.Cancel(job_id=job_id, release=release, waiting=waiting), protocol.Done)

    async def set_priority(self, job_id: str, priority: int) -> None:
        """Move a waiting job to another priority, 0–15."""
        await self._ask(protocol.SetPriority(job_id=job_id, priority=priority), protocol.Done)

    async def read(self, job_id: str, epoch: int = 0, index: int = 0) -> protocol.Lines:
        """Lines of an answer from ``index`` on; see ``protocol.Lines`` for how to get the rest."""
        return await self._ask(protocol.Read(job_id=job_id, epoch=epoch, index=index), protocol.Lines)

    async def read_all(self, job_id: str, epoch: int = 0, index: int = 0) -> protocol.Lines:
        """All lines there are now from ``index`` on, in one piece."""
        part = await self.read(job_id, epoch, index)
        start, lines = part.index, list(part.lines)
        while start + len(lines) < part.total:
            more = await self.read(job_id, part.epoch, start + len(lines))
            if more.epoch != part.epoch:  # it started anew meanwhile
                start, lines = more.index, []
            elif not more.lines:
                break
            lines += more.lines
            part = more
        return protocol.Lines(
            job_id=job_id, epoch=part.epoch, index=start, lines=tuple(lines), total=part.total, ended=part.ended
        )

    async def get(self, job_id: str) -> protocol.JobState:
        """One job as it stands; refused with ``not_found`` when there is none."""
        return await self._ask(protocol.GetJob(job_id=job_id), protocol.JobState)

    async def body(self, job_id: str) -> bytes:
        """What a job asks of the engine, as it was sent; refused with ``not_found`` when there is no such job."""
        return (await self._ask(protocol.GetBody(job_id=job_id), protocol.Body)).body

    async def excerpts(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """The first words of what these jobs ask, at most 100 at once; '' for those that are gone or have none."""
        return (await self._ask(protocol.GetExcerpts(job_ids=tuple(job_ids)), protocol.Excerpts)).excerpts

    async def history(self, job_id: str) -> tuple[facts.AnyFact, ...]:
        """All facts about one job, oldest first."""
        return (await self._ask(protocol.GetHistory(job_id=job_id), protocol.Facts)).facts

    async def find(self, request: protocol.FindJobs) -> protocol.Jobs:
        """Jobs by state, model, user and batch, newest first; the next page begins before the last one's ``order``."""
        return await self._ask(request, protocol.Jobs)

    async def list_jobs(self, request: protocol.ListJobs) -> protocol.JobList:
        """Part of a list of jobs in any order; it may be incomplete: then ask again. See ``protocol.ListJobs``."""
        return await self._ask(request, protocol.JobList)

    async def settings(self) -> protocol.Settings:
        """How the broker is set, and what of that may be changed."""
        return await self._ask(protocol.GetSettings(), protocol.Settings)

    async def set_settings(self, values: bytes, reset: tuple[str, ...] = ()) -> protocol.Settings:
        """Change settings (a JSON object) while the broker runs; kept over restarts. Refused with 'invalid'."""
        return await self._ask(protocol.SetSettings(values=values, reset=reset), protocol.Settings)

    async def find_all(self, request: protocol.FindJobs) -> AsyncIterator[Job]:
        """All jobs that ``request`` describes, oldest first, a page at a time: there is one of them in memory."""
        request = msgspec.structs.replace(request, oldest_first=True, limit=PAGE)
        more = True
        while more:
            page = await self.find(request)
            for job in page.jobs:
                yield job
                request = msgspec.structs.replace(request, after_order=job.order)
            more = page.more

    async def replay(self, job_id: str, new_job_id: str) -> protocol.Accepted:
        """Do a dead job again as a new one; refused with ``not_dead`` or ``not_found``.

        One that came ``after`` others comes after them again, or after those that do them again as ``replay_id``; when
        one of them is not completed and not done again, or gone, it is refused with ``unknown_job``.
        """
        return await self._ask(protocol.Replay(job_id=job_id, new_job_id=new_job_id), protocol.Accepted)

    async def replay_all(self, *, model: str = '', user: str = '', parent: str = '') -> int:
        """Do all dead jobs that match again, each once however often this is called; how many are new.

        A replay that dies is a dead job itself and is done again by the next call. Refused as ``submit`` is, e.g.
        with ``queue_full``: call it again later, it goes on with those that are left.
        """
        wanted = protocol.FindJobs(states=(State.DEAD,), model=model, user=user, parent=parent, limit=1)
        newest = (await self.find(wanted)).jobs  # those that are done again from here on and die are not meant
        before_order = newest[0].order + 1 if newest else 1
        count = 0
        async for job in self.find_all(msgspec.structs.replace(wanted, before_order=before_order)):
            try:
                count += not (await self.replay(job.job_id, replay_id(job.job_id))).duplicate
            except errors.Refused as refused:
                if refused.code not in ('not_found', 'not_dead', 'unknown_job'):  # somebody has deleted it meanwhile
                    raise
        return count

    async def open_batch(self, batch_id: str, total: int, *, name: str = '', user: str = '') -> None:
        """Begin a batch of ``total`` jobs; submit them with its id as ``parent``. ``new_job_id`` makes such ids."""
        await self._ask(protocol.OpenBatch(batch_id=batch_id, total=total, name=name, user=user), protocol.Done)

    async def batch(self, batch_id: str) -> protocol.Batch:
        """How far a batch is; refused with ``not_found`` when there is none."""
        (found,) = (await self._ask(protocol.GetBatch(batch_id=batch_id), protocol.Batches)).batches
        return found

    async def batches(self, *, user: str = '', limit: int = 50) -> tuple[protocol.Batch, ...]:
        """Batches, of one user or of all, newest first, 100 at most."""
        return (await self._ask(protocol.FindBatches(user=user, limit=limit), protocol.Batches)).batches

    async def cancel_batch(self, batch_id: str) -> None:
        """Stop all jobs of a batch; it takes no more. Returns when it is over: others are served in between."""
        pause_s = WATCH_S
        while isinstance(await self._ask(protocol.CancelBatch(batch_id=batch_id), protocol.Reply), protocol.Batches):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 20 * WATCH_S)

    async def batch_results(self, batch_id: str) -> AsyncIterator[tuple[Job, tuple[bytes, ...]]]:
        """The jobs of a batch in the order in which they came, each with the lines of its answer when it has ended.

        It waits for those that go on and for those still to come, and ends with the batch. What died or was cancelled
        comes with the lines it had. Only one answer is in memory at a time.
        """
        wanted, pause_s = protocol.FindJobs(parent=batch_id), WATCH_S
        over = False
        while not over:
            over = (await self.batch(batch_id)).ended_at > 0  # asked first: what comes later is in the list below
            async for job in self.find_all(wanted):
                wanted = msgspec.structs.replace(wanted, after_order=job.order)
                ended = await self._ended(job)
                yield ended, (await self.read_all(job.job_id)).lines
                pause_s = WATCH_S
            if not over:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 20 * WATCH_S)

    async def set_schedule(self, schedule: protocol.Schedule) -> None:
        """Make a schedule or replace the one of the same id; refused with one sentence that names what is wrong."""
        await self._ask(protocol.SetSchedule(schedule=schedule), protocol.Done)

    async def remove_schedule(self, schedule_id: str) -> None:
        """No more jobs by this schedule; refused with ``not_found`` when there is none."""
        await self._ask(protocol.RemoveSchedule(schedule_id=schedule_id), protocol.Done)

    async def schedules(self, *, after_id: str = '', limit: int = 100, runs: int = 3) -> protocol.Schedules:
        """Schedules by id behind ``after_id``, each with when it runs next; ``more`` when others follow."""
        return await self._ask(protocol.FindSchedules(after_id=after_id, limit=limit, runs=runs), protocol.Schedules)

    async def purge(self, job_id: str = '', *, before: float = 0.0) -> int:
        """Delete one dead job, or all that ended before a time; how many are gone."""
        count, more = 0, True
        while more:
            purged = await self._ask(protocol.Purge(job_id=job_id, before=before), protocol.Purged)
            count, more = count + purged.count, purged.more
        return count

    async def pause(self, scope: str, name: str = '') -> str:
        """Let nothing of this start any more: 'all', or a 'model', 'priority', 'user' or 'worker' by name.

        Returns a note for people where that is not there at the moment, else ''.
        """
        return (await self._ask(protocol.Pause(scope=scope, name=name), protocol.Done)).note

    async def resume(self, scope: str, name: str = '') -> None:
        """End a pause."""
        await self._ask(protocol.Resume(scope=scope, name=name), protocol.Done)

    async def drain(self, scope: str, name: str = '') -> str:
        """Pause this; the fact ``Drained`` says when the last run of it has ended. The note is as of ``pause``."""
        return (await self._ask(protocol.Drain(scope=scope, name=name), protocol.Done)).note

    async def retire(self, worker: str, *, grace_s: float = 300.0) -> None:
        """Let a worker take nothing new and end when its runs have; after ``grace_s`` it hands back what is left."""
        await self._ask(protocol.Retire(worker=worker, grace_s=grace_s), protocol.Done)

    async def run_errand(self, worker: str, order: errand.Order) -> errand.Errand:
        """Have a worker do something with a model; returns at once with the errand, or the same one that goes on.

        ``feed`` tells how far it is. Refused with ``not_found`` where no such worker is there.
        """
        return (await self._ask(protocol.RunErrand(worker=worker, order=order), protocol.ErrandState)).errand

    async def cancel_errand(self, errand_id: str) -> None:
        """Stop an errand; refused with ``not_found`` when it is not known (any more)."""
        await self._ask(protocol.CancelErrand(errand_id=errand_id), protocol.Done)

    async def add_machine(self, name: str) -> protocol.MachineToken:
        """Let the workers of one machine more join; the token for them, which nobody can show again, and where.

        Refused with ``not_listening``, ``conflict`` where the name is taken, or ``bad_request``.
        """
        return await self._ask(protocol.AddMachine(name=name), protocol.MachineToken)

    async def remove_machine(self, name: str) -> None:
        """Let its workers join no more; refused with ``not_found``. Those that are there stay until they end."""
        await self._ask(protocol.RemoveMachine(name=name), protocol.Done)

    async def machines(self) -> tuple[protocol.Machine, ...]:
        """The machines whose workers may join, by name."""
        return (await self._ask(protocol.FindMachines(), protocol.MachineList)).machines

    async def facts_after(self, seq: int, limit: int = 1000) -> protocol.Facts:
        """Facts after ``seq`` in order, at most ``limit``, and the newest seq there is."""
        return await self._ask(protocol.FactsAfter(seq=seq, limit=limit), protocol.Facts)

    async def snapshot(self) -> protocol.Snapshot:
        """All jobs that are not final and all workers. Apply the facts after its ``seq`` to keep it true."""
        first = page = await self._ask(protocol.GetSnapshot(), protocol.Snapshot)
        jobs = list(page.jobs)
        while page.more:
            page = await self._ask(protocol.GetSnapshot(after_order=jobs[-1].order), protocol.Snapshot)
            jobs += page.jobs
        return msgspec.structs.replace(first, jobs=tuple(jobs), more=False)

    async def staff(self) -> protocol.Snapshot:
        """All workers and pauses as they are now, without the jobs."""
        return await self._ask(protocol.GetSnapshot(after_order=2**53), protocol.Snapshot)

    async def ping(self) -> protocol.Pong:
        """The broker's version, boot id and newest seq."""
        return await self._ask(protocol.Ping(), protocol.Pong)

    async def feed(self, after_seq: int, *, tokens: bool = True) -> AsyncGenerator[protocol.AnyPublished, None]:
        """What happens, for ever: every fact after ``after_seq`` exactly once and in order; tokens, standing and
        pulses as they come (tokens may have gaps: ``read`` fills them; without ``tokens`` none are sent here at all).
        """
        socket = self._context.socket(zmq.SUB)
        sockets.tune(socket, high_water=100_000)
        for topic in (b'',) if tokens else protocol.TOPICS_BUT_TOKENS:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        sockets.connect(socket, self._endpoints, self._endpoints.facts)
        now: zmq.Socket[bytes] = zmq.Socket.shadow(socket)
        seq = after_seq
        try:
            while True:
                async for fact in self._missed(seq):
                    seq = fact.seq
                    yield protocol.FactOut(fact=fact)
                gap = False
                while not gap:
                    first = await socket.recv_multipart()
                    for item in _drain(now, first):
                        if item is None:
                            gap = True  # only now is the subscription in force
                            continue
                        if isinstance(item, protocol.FactOut):
                            if item.fact.seq <= seq:
                                continue
                            if gap or item.fact.seq > seq + 1:
                                gap = True  # asked for below, in order, this one included
                                continue
                            seq = item.fact.seq
                        elif isinstance(item, protocol.Pulse) and item.seq > seq:
                            gap = True
                        yield item
        finally:
            socket.close(0)

    async def _missed(self, seq: int) -> AsyncIterator[facts.AnyFact]:
        while True:
            try:
                page = await self.facts_after(seq)
            except errors.BrokerUnreachable:
                continue  # it is being restarted; what it knows is on disk
            for fact in page.facts:
                seq = fact.seq
                yield fact
            if seq >= page.head:
                return

    async def _ended(self, job: Job) -> Job:
        """The job when it is final."""
        pause_s = WATCH_S
        while job.state not in FINAL:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 20 * WATCH_S)
            job = (await self.get(job.job_id)).job
        return job

    async def _ask(self, request: protocol.Request, expected: type[ReplyT]) -> ReplyT:
        if self._closed:
            raise errors.BrokerUnreachable()
        rid = next(self._rids)
        data = protocol.encode(msgspec.structs.replace(request, rid=rid))
        if len(data) > protocol.MAX_MESSAGE_BYTES:
            raise errors.Refused('body_too_large', f'a message may have {protocol.MAX_MESSAGE_BYTES} bytes at most')
        loop = asyncio.get_running_loop()
        asked = self._pending[rid] = _Asked(data, loop.create_future(), loop.time(), self._timeout_s)
        if self._sweeping is None:
            self._sweep_later()
        self._post(data)
        try:
            answer = await asked.reply
        finally:
            del self._pending[rid]
        if isinstance(answer, protocol.Refused):
            limit = answer.quota.limit if answer.quota is not None else 0
            raise errors.Refused(answer.code, answer.detail, answer.retry_after_s, limit=limit)
        if not isinstance(answer, expected):
            raise errors.BrokerError(f'expected {expected.__name__}, got {type(answer).__name__}')
        return answer

    def _post(self, data: bytes) -> None:
        """All that is asked in one round of the loop leaves in one letter."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(data)

    def _flush(self) -> None:
        was_held_up = bool(self._unsent)
        self._unsent += protocol.letters(self._outbox)
        self._outbox.clear()
        if not was_held_up:
            self._send()

    def _send(self, pause_s: float = 0.001) -> None:
        while self._unsent and not self._closed:
            # through the asyncio socket: a plain send could take up the wake-up that the reader waits for
            sent = cast('asyncio.Future[object]', self._socket.send(self._unsent[0], zmq.NOBLOCK))
            if sent.exception() is not None:  # nobody is there, or nobody reads
                loop = asyncio.get_running_loop()  # a new client has to wait until it is connected, which is soon
                loop.call_later(pause_s, self._send, min(2 * pause_s, SEND_AGAIN_S))
                return
            self._unsent.popleft()

    @property
    def _sweep_s(self) -> float:
        return min(RESEND_S, self._timeout_s) / 4

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_at = loop.time() + self._sweep_s
        self._sweeping = loop.call_at(self._sweep_at, self._sweep)

    def _sweep(self) -> None:
        """Repeat what was not answered for a while, and give up in the end: one timer for all requests.

        Time in which this loop itself stood still counts against nobody: the replies may be here, unread.
        """
        now = asyncio.get_running_loop().time()
        stood_still_s = now - self._sweep_at
        self._sweeping = None
        for asked in self._pending.values():
            asked.wait_longer(stood_still_s)
            if now >= asked.give_up_at:
                asked.give_up()
            elif now >= asked.sent_at + RESEND_S and not self._unsent:
                asked.sent_at = now
                self._post(asked.data)
        if self._pending:
            self._sweep_later()

    async def _read_replies(self) -> None:
        while True:
            # a cancelled recv of pyzmq may lose a message (pyzmq #1925); whoever cancels this wants no more
            self._take(await self._socket.recv())
            for _ in range(500):
                try:
                    letter = self._now.recv(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._take(letter)
            await asyncio.sleep(0)

    def _take(self, letter: bytes) -> None:
        try:
            replies = protocol.replies_in(letter)
        except protocol.Malformed:
            return
        for reply in replies:
            asked = self._pending.get(reply.rid)
            if asked is not None and not asked.reply.done():
                asked.reply.set_result(reply)


class _Asked:
    """A request that waits for its reply."""

    __slots__ = ('data', 'give_up_at', 'reply', 'sent_at')

    def __init__(self, data: bytes, reply: asyncio.Future[protocol.AnyReply], now: float, timeout_s: float) -> None:
        self.data = data
        self.reply = reply
        self.sent_at = now
        self.give_up_at = now + timeout_s

    def wait_longer(self, by_s: float) -> None:
        """So much of the time did not count."""
        self.sent_at += by_s
        self.give_up_at += by_s

    def give_up(self) -> None:
        """Nobody answered."""
        if not self.reply.done():
            self.reply.set_exception(errors.BrokerUnreachable())


def _drain(socket: 'zmq.Socket[bytes]', frames: list[bytes], limit: int = 500) -> list[protocol.AnyPublished | None]:
    """What has come, ``frames`` first; None stands for the broker's welcome."""
    items = _published_in(frames[-1])
    for _ in range(limit):
        try:
            *_, letter = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            break
        items += _published_in(letter)
    return items


def _published_in(letter: bytes) -> list[protocol.AnyPublished | None]:
    if letter == protocol.WELCOME:
        return [None]
    try:
        published = protocol.published_in(letter)
    except protocol.Malformed:
        return []
    items: list[protocol.AnyPublished | None] = []
    for item in published:
        if isinstance(item, protocol.FactsOut):
            items += [protocol.FactOut(fact=fact) for fact in item.facts]
        else:
            items.append(item)
    return items
