"""The whole at a glance: what ``status`` says without an id, and what ``watch`` keeps on the screen."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from app.commands.command import Here
from app.commands.moments import iso, took
from app.commands.views import WORKER_COLUMNS, counted, pause_text, worker_dict, worker_row
from broker import protocol
from broker.job import HELD_BY_WORKER

if TYPE_CHECKING:
    from broker.client import BrokerClient


async def show(here: Here, broker: 'BrokerClient') -> None:
    """Print how the whole stands."""
    corral = here.corral()
    pong = await broker.ping()
    with here.out.progress('Reading the queue', None):
        snapshot = await broker.snapshot()
    found = summary(snapshot)
    if here.out.as_json:
        here.out.document(
            {'pid': corral.pid, 'url': corral.url, 'data_dir': str(here.data_dir), 'boot': pong.boot, 'seq': pong.seq}
            | found
            | {'workers': [worker_dict(worker) for worker in snapshot.workers]}
        )
        return
    here.out.fields(
        [
            ('desk', corral.url or 'starting'),
            ('data', here.data_dir),
            ('waiting', str(found['waiting'])),
            ('running', f'{found["running"]} of {counted(found["slots"], "slot", "slots")}'),
            *((f'… {state}', count) for state, count in found['states'].items() if state not in ('running', 'waiting')),
            ('oldest', f'waits for {took(found["oldest_waits_s"])}' if found['oldest_waits_s'] else ''),
            ('paused', ', '.join(pause_text(pause) for pause in snapshot.pauses) or 'nothing'),
        ]
    )
    print()
    here.out.table(WORKER_COLUMNS, [worker_row(worker) for worker in snapshot.workers], empty='No worker is there.')


def summary(snapshot: protocol.Snapshot, now: float | None = None) -> dict[str, Any]:
    """The figures of the whole, for programs."""
    now = time.time() if now is None else now
    states = Counter(str(job.state) for job in snapshot.jobs)
    held = sum(job.state in HELD_BY_WORKER for job in snapshot.jobs)
    waiting = [job for job in snapshot.jobs if job.state not in HELD_BY_WORKER]
    return {
        'waiting': len(waiting),
        'running': held,
        'slots': sum(worker.slots for worker in snapshot.workers),
        'states': dict(sorted(states.items())),
        'oldest_waits_s': round(max((now - job.queued_at for job in waiting), default=0.0), 3),
        'oldest_queued_at': iso(min((job.queued_at for job in waiting), default=0.0)),
        'waiting_by_priority': dict(sorted(Counter(str(job.priority) for job in waiting).items())),
        'waiting_by_model': dict(sorted(Counter(job.model for job in waiting).items())),
        'pauses': [{'scope': p.scope, 'name': p.name, 'draining': p.draining} for p in snapshot.pauses],
    }
