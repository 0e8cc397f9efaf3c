"""What a job's page tells: where its time went, what happened when, what was asked. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from broker import facts
from broker.job import HELD_BY_WORKER, Job, State

Part = dict[str, Any]  # name, from, until (0 while it goes on), attempt
Event = dict[str, Any]  # name, at, and what belongs to it
MOST_TEXT = 20_000  # characters of one message that are shown
MOST_MESSAGES = 60
MOST_RAW = 60_000
_ENDS = {facts.JobCompleted: 'completed', facts.JobCancelled: 'cancelled', facts.JobDied: 'dead'}


class Story:
    """The parts of a job's life one after the other, and its events, oldest first. Times are unix seconds."""

    def __init__(self, job: Job, history: Iterable[facts.AnyFact]) -> None:
        self.parts: list[Part] = []
        self.events: list[Event] = []
        self.replay_of = ''
        self._attempt = 0
        known = False
        for fact in history:
            known = True
            self._take(fact)
        if not known:
            self._guess(job)

    def _take(self, fact: facts.AnyFact) -> None:
        match fact:
            case facts.JobQueued():
                self._queued(fact)
            case facts.JobUnblocked() | facts.JobDue():
                self._turn('queued', fact.at)
                self._tell('unblocked' if isinstance(fact, facts.JobUnblocked) else 'due', fact.at)
            case facts.JobStarted():
                self._started(fact)
            case facts.JobRequeued():
                self._close(fact.at)
                self._tell(fact.reason, fact.at, code=fact.code, detail=fact.detail, trace=fact.trace, due=fact.due_at)
                self._turn('backoff' if fact.due_at > fact.at else 'queued', fact.at)
            case facts.JobPriorityChanged():
                self._tell('moved', fact.at, priority=fact.priority, was=fact.was)
            case facts.JobShared():
                self._tell('shared', fact.at, claims=fact.claims)
            case facts.JobCancelRequested():
                self._turn('stopping', fact.at)
                self._tell('stopping', fact.at)
            case facts.JobCompleted() | facts.JobCancelled() | facts.JobDied():
                self._ended(fact)

    def _queued(self, fact: facts.JobQueued) -> None:
        self.replay_of = fact.replay_of
        name = 'blocked' if fact.blocked_by else 'delayed' if fact.due_at > fact.at else 'queued'
        self._tell('submitted', fact.at, why=name, due=fact.due_at, after=fact.blocked_by, rule=fact.priority_rule)
        self._turn(name, fact.at)

    def _started(self, fact: facts.JobStarted) -> None:
        self._attempt = fact.starts
        self._turn('run', fact.at)
        told = {'from': fact.predicted_from, 'until': fact.predicted_until}
        self._tell('started', fact.at, worker=fact.worker, waited=fact.waited_s, resident=fact.resident, **told)

    def _ended(self, fact: facts.JobEnded) -> None:
        last = self.parts[-1] if self.parts else None
        self._close(fact.at)
        if last is not None and last['name'] == 'run' and fact.usage.first_token_s:
            self.parts[-1:] = _phases(last, fact.usage)
            begun = last['from'] + fact.usage.first_token_s
            self._tell('first_token', min(begun, fact.at), seconds=fact.usage.first_token_s)
        trouble = {name: getattr(fact, name, '') for name in ('code', 'detail', 'trace')}
        self._tell(_ENDS[type(fact)], fact.at, lines=fact.lines, **trouble)

    def _guess(self, job: Job) -> None:
        """The queue has forgotten the facts; the job itself still says this much."""
        self._turn('queued', job.queued_at)
        self._tell('submitted', job.queued_at, why='queued', due=0.0, after=0, rule='')
        if job.started_at:
            self._attempt = job.starts
            self._turn('run', job.started_at)
            told = {'waited': job.started_at - job.queued_at, 'resident': False, 'from': 0.0, 'until': 0.0}
            self._tell('started', job.started_at, worker=job.worker, **told)
        if job.ended_at:
            self._close(job.ended_at)
            self._tell(str(job.state), job.ended_at, lines=job.lines, code=job.code, detail=job.detail, trace='')

    def _turn(self, name: str, at: float) -> None:
        self._close(at)
        self.parts.append({'name': name, 'from': at, 'until': 0.0, 'attempt': self._attempt})

    def _close(self, at: float) -> None:
        if self.parts and not self.parts[-1]['until']:
            self.parts[-1]['until'] = max(at, self.parts[-1]['from'])

    def _tell(self, name: str, at: float, **more: Any) -> None:
        self.events.append({'name': name, 'at': at, 'attempt': self._attempt, **more})


def _phases(run: Part, usage: facts.Usage) -> list[Part]:
    """A run that ended, as its engine measured it."""
    found, at = [], run['from']
    first = min(usage.first_token_s, run['until'] - run['from'])
    load = min(usage.load_s, first)
    for name, seconds in (('load', load if load > 0.05 else 0.0), ('prompt', first - (load if load > 0.05 else 0.0))):
        if seconds > 0:
            found.append({**run, 'name': name, 'from': at, 'until': at + seconds})
            at += seconds
    return [*found, {**run, 'name': 'write', 'from': at, 'until': max(at, run['until'])}]


def request(body: bytes) -> dict[str, Any]:
    """What was asked: messages (role, text, images), options by name, and the whole as it was sent, cut where long."""
    if not body:
        return {'messages': [], 'options': [], 'raw': '', 'cut': False}
    raw = body[: 4 * MOST_RAW].decode('utf-8', 'replace')
    found: dict[str, Any] = {'messages': [], 'options': [], 'raw': raw[:MOST_RAW], 'cut': len(raw) > MOST_RAW}
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return found
    if not isinstance(asked, dict):
        return found
    found['messages'] = _messages(asked)
    options = asked.get('options')
    rest = {name: asked[name] for name in ('format', 'think', 'keep_alive', 'raw', 'dimensions') if name in asked}
    rest |= options if isinstance(options, dict) else {}
    found['options'] = [[str(name), _short(value)] for name, value in list(rest.items())[:60]]
    return found


def question(body: bytes) -> str:
    """The last thing that a person asks in it, cut where long; '' where there is none in words."""
    asked = [each['text'] for each in request(body)['messages'] if each['role'] in ('user', 'prompt', 'input')]
    return asked[-1][:300] if asked else ''


def _messages(asked: dict[str, Any]) -> list[dict[str, Any]]:
    said: list[tuple[str, Any, Any]] = []
    if asked.get('system'):
        said.append(('system', asked['system'], None))
    messages = asked.get('messages')
    for each in messages if isinstance(messages, list) else []:
        if isinstance(each, dict):
            said.append((str(each.get('role', '')), each.get('content', ''), each.get('images')))
    if asked.get('prompt'):
        said.append(('prompt', asked['prompt'], asked.get('images')))
    inputs = asked.get('input')
    said += [('input', each, None) for each in (inputs if isinstance(inputs, list) else [inputs]) if each]
    shown = said if len(said) <= MOST_MESSAGES else said[: MOST_MESSAGES // 2] + said[-MOST_MESSAGES // 2 :]
    return [
        {
            'role': role[:30],
            'text': (text if isinstance(text, str) else _short(text))[:MOST_TEXT],
            'cut': isinstance(text, str) and len(text) > MOST_TEXT,
            'images': len(images) if isinstance(images, list) else 0,
        }
        for role, text, images in shown
    ]


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value[:2_000]
    said = msgspec.json.encode(value)
    return (msgspec.json.format(said, indent=2) if len(said) > 60 else said).decode('utf-8', 'replace')[:2_000]


def facts_of(job: Job) -> dict[str, Any]:
    """The header: what the job is and how it stands."""
    usage = job.usage
    return {
        'id': job.job_id,
        'kind': job.kind,
        'state': str(job.state),
        'model': job.model,
        'priority': job.priority,
        'rule': job.terms.priority_rule,
        'user': job.user,
        'conversation': job.conversation_id,
        'path': job.terms.path,
        'batch': job.parent,
        'schedule': job.terms.schedule,
        'claims': job.claims,
        'queued': job.queued_at,
        'due': job.due_at,
        'deadline': job.deadline_at,
        'started': job.started_at,
        'ended': job.ended_at,
        'starts': job.starts,
        'failures': job.failures,
        'losses': job.losses,
        'most': job.max_failures,
        'worker': job.worker,
        'engine': job.engine,
        'code': job.code,
        'detail': job.detail,
        'lines': job.lines,
        'bytes': job.body_bytes,
        'usage': msgspec.structs.asdict(usage),
        'rate': usage.output_tokens / usage.decode_s if usage.decode_s > 0 else 0.0,
        'alive': job.state not in (State.COMPLETED, State.CANCELLED, State.DEAD),
        'held': job.state in HELD_BY_WORKER,
    }
