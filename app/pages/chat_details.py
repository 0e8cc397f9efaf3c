"""What the chat page works out before it shows it: the models to pick, where an answer stands, where its time went."""

import time
from typing import Any

import msgspec

from app.jobs import attempts
from app.parts import Parts
from app.views import JobView, ModelView

ALIVE = ('sending', 'blocked', 'waiting', 'delayed', 'running', 'cancelling')
SHOWN_AHEAD = 5
SHOWN_OF_JOB = (
    *('state', 'ahead', 'limit', 'reason', 'hint', 'after', 'due', 'queued', 'started', 'priority', 'model'),
    *('starts', 'losses', 'worker', 'tokens'),
)


def pickable(models: list[ModelView]) -> list[dict[str, Any]]:
    """The models that can chat, as the picker shows them."""
    return [
        {
            'name': model.name,
            'size': ' '.join(filter(None, (model.parameter_size, model.quantization))),
            'demo': model.engine == 'demo',
            'sees': 'vision' in model.capabilities if model.capabilities else None,
        }
        for model in models
        if not model.capabilities or 'completion' in model.capabilities
    ]


def details(parts: Parts, views: list[dict[str, Any]], past: attempts.Past = attempts.NOTHING) -> dict[str, Any]:
    """What ``Inspector`` shows, of the answers' views in order: the job of the last one, or of the one alive."""
    board = parts.board
    subject = subject_of(views)
    done = next((view for view in reversed(views) if view['ran'] and view['state'] not in ALIVE), None)
    waits = subject and subject['state'] == 'waiting' and subject['reason'] in ('', 'ahead') and subject['ahead']
    return {
        'now': time.time(),
        'job': _job(parts, subject, past) if subject is not None else None,
        'attempts': [msgspec.structs.asdict(each) for each in past.attempts] if _eventful(past) else [],
        'total': board.counts().waiting,
        'ahead': ahead(parts, board.waiting(SHOWN_AHEAD + 1), subject['job']) if subject and waits else [],
        'times': times(done, last=done is not subject) if done else None,
        'workers': [
            {'name': each.worker, 'busy': each.busy, 'slots': each.slots, 'problem': each.problem}
            for each in board.workers()
        ],
    }


def subject_of(views: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The answer that the inspector is about."""
    return next((view for view in views if view['state'] in ALIVE), views[-1] if views else None)


def _job(parts: Parts, view: dict[str, Any], past: attempts.Past) -> dict[str, Any]:
    known = parts.board.job(view['job'])
    return {
        **{name: view[name] for name in SHOWN_OF_JOB},
        'rate': view['rate'] if view['state'] in ALIVE else view.get('speed', 0.0) or view['rate'],
        'rule': (known.priority_rule if known is not None else '') or past.rule,
        'batch': (known.parent if known is not None else '') or past.batch,
        'schedule': (known.schedule if known is not None else '') or past.schedule,
    }


def _eventful(past: attempts.Past) -> bool:
    """Whether not all went well at once."""
    return len(past.attempts) > 1 or any(each.outcome == 'dead' for each in past.attempts)


def ahead(parts: Parts, front: list[JobView], mine: str) -> list[dict[str, Any]]:
    """The first jobs of the queue, down to ``mine``."""
    rows = []
    for place, job in enumerate(front, 1):
        rows.append(
            {
                'place': place,
                'title': parts.title_of(job.conversation_id),
                'priority': job.priority,
                'mine': job.job_id == mine,
            }
        )
        if job.job_id == mine:
            break
    return rows


def times(view: dict[str, Any], *, last: bool) -> dict[str, Any]:
    """Where an answer's time went, in seconds: it waited, read the prompt, wrote."""
    first = min(view['first'], view['ran']) if view['first'] else 0.0
    parts = [('waited', view['waited']), ('read', first), ('wrote', view['ran'] - first)]
    return {'last': last, 'parts': [{'name': name, 'seconds': round(max(0.0, value), 3)} for name, value in parts]}
