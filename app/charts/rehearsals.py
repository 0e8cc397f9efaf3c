"""What another order of the queue would have done with the jobs of a time, worked out in a process of its own."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from app.charts import residency
from app.options import ROOT
from broker import rehearsal
from broker.client import BrokerClient
from broker.errors import BrokerError

MOST_JOBS = 200_000
_busy = asyncio.Semaphore(1)  # it takes a processor for itself


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What was, and what would have been. ``jobs``: how many; ``cut``: only the last ``MOST_JOBS`` were looked at;
    ``resident``: how many models engines kept in memory in what was played; ``strangers``: workers that were asked
    about but ran nothing then, so that they change nothing.
    """

    since: float
    until: float
    jobs: int
    cut: bool
    recorded: rehearsal.Outcome | None
    outcomes: list[rehearsal.Outcome]
    resident: int = 1
    strangers: list[str] = []


class RehearsalFailed(Exception):
    """It could not be worked out; the log says why."""


def busy() -> bool:
    """Whether one is being played, so that the next has to wait."""
    return _busy.locked()


async def compare(
    ledger: Any,
    broker: BrokerClient | None,
    *,
    since: float,
    until: float,
    policies: Sequence[rehearsal.Policy] = rehearsal.POLICIES,
    slots: Mapping[str, int] | None = None,
    resident: int | None = None,
    progress: Callable[[float], object] = lambda share: None,
) -> Comparison:
    """Play the jobs that ended from ``since`` to ``until`` (unix seconds) under each policy.

    Bounds and limits are those that the ``broker`` has now; without ``resident`` engines keep as many models in memory
    as they did. ``progress`` hears the share that is done. One at a time: who comes second waits.
    Raises ``RehearsalFailed``, and as the ledger does.
    """
    async with _busy:
        runs = await ledger.runs(since=since, until=until, limit=MOST_JOBS + 1)
        used = runs[-MOST_JOBS:]
        outcomes: list[rehearsal.Outcome] = []
        kept = resident or 1
        ran = {run.worker for run in used}
        machines = {name: n for name, n in (slots or {}).items() if name in ran}
        if used:
            rest = {'policies': tuple(policies), 'settings': await _settings(broker), 'slots': machines}
            wish, kept = await asyncio.to_thread(_packed, used, resident, rest)
            outcomes = await _played(wish, 1 + len(policies), lambda done: progress(done / (len(used) * len(policies))))
        return Comparison(
            since=since,
            until=until,
            jobs=len(used),
            cut=len(runs) > len(used),
            recorded=outcomes[0] if outcomes else None,
            outcomes=outcomes[1:],
            resident=kept,
            strangers=[name for name in slots or () if name not in ran],
        )


async def _settings(broker: BrokerClient | None) -> bytes:
    if broker is None:
        return b''
    try:
        return (await broker.settings()).values
    except BrokerError as error:
        raise RehearsalFailed('the queue does not say by which rules it goes; try it once more') from error


def _packed(runs: Sequence[Any], resident: int | None, rest: Mapping[str, Any]) -> tuple[bytes, int]:
    """What the other process is asked, and how many models stay in memory there. Of very many jobs it takes seconds."""
    jobs = tuple(rehearsal.Recorded(**msgspec.structs.asdict(run)) for run in runs)
    kept = resident or residency.seen(jobs)
    return msgspec.msgpack.encode(rehearsal.Wish(jobs=jobs, resident=kept, **rest)), kept


async def _played(wish: bytes, expected: int, progress: Callable[[int], object]) -> list[rehearsal.Outcome]:
    """So many outcomes. ``progress`` hears how many jobs are done, of all orders together."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, '-m', 'broker.rehearsal'),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert process.stdin and process.stdout
    outcomes: list[rehearsal.Outcome] = []
    try:
        with contextlib.suppress(OSError):  # it ended before it had read all; its exit says so
            process.stdin.write(wish)
            await process.stdin.drain()
            process.stdin.write_eof()
        async for line in process.stdout:
            news = msgspec.json.decode(line, type=rehearsal.News)
            if news.outcome is not None:
                outcomes.append(news.outcome)
            progress(news.done)
        if await process.wait() != 0 or len(outcomes) != expected:
            raise RehearsalFailed('the replay ended before it was done; the log of the desk says why')
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise RehearsalFailed('the replay broke off; the log of the desk says why') from error
    finally:
        if process.returncode is None:  # nobody waits for it any more
            process.kill()
            await process.wait()
    return outcomes
