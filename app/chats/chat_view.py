"""A message as the transcript shows it: what is stored, and what the board knows of its job now."""

from collections.abc import Iterable
from typing import Any

from app.messages import File, Message, Stats, ToolCall
from app.views import JobView
from broker import protocol
from broker.job import State

View = dict[str, Any]


def of(message: Message, job: JobView | None, *, retry_after_s: float = 0.0) -> View:
    """The view of a message; ``job`` is what it waits for, if anything."""
    shown = {
        'id': message.id,
        'role': message.role,
        'text': message.content,
        'thinking': message.thinking,
        'at': message.created_at,
        'state': 'sending' if message.state == 'pending' else message.state,
        'job': message.job_id,
        'model': message.model,
        'priority': message.priority,
        'code': message.code,
        'detail': message.detail,
        'retry_after': retry_after_s,
        'files': [
            {'id': file.id, 'name': file.name, 'picture': file.picture, 'size': file.size, 'ratio': _ratio(file)}
            for file in message.extras.files
        ],
        'tools': _tools(message.extras.tools),
        'thought': message.extras.thought_s,
        'beside': message.extras.beside,
        **_figures(message.stats),
        **_IDLE,
    }
    if job is None:
        return shown
    kept = message.extras
    live = {**shown, **_live(job)}
    live['text'], live['thinking'] = kept.kept + job.text, kept.kept_thinking + job.thinking
    return live


def _ratio(file: File) -> float:
    return round(file.width / file.height, 3) if file.width and file.height else 0.0


def _tools(calls: Iterable[ToolCall]) -> list[dict[str, str]]:
    return [{'name': call.name, 'arguments': call.arguments} for call in calls]


_IDLE: dict[str, Any] = {
    'ahead': None,
    'limit': protocol.STANDING_LIMIT,
    'reason': '',
    'due': 0.0,
    'queued': 0.0,
    'earliest': 0.0,
    'latest': 0.0,
    'will_load': 0.0,
    'other': '',
    'other_at': 0.0,
    'hint': '',
    'after': 0,
    'started': 0.0,
    'note': '',
    'failures': 0,
    'engine': '',
    'epoch': 0,
}


def _figures(stats: Stats) -> dict[str, Any]:
    return {
        'tokens': stats.output_tokens,
        'rate': stats.tokens_per_s,
        'starts': stats.starts,
        'losses': stats.losses,
        'worker': stats.worker,
        'waited': stats.waited_s,
        'first': stats.first_token_s,
        'ran': stats.ran_s,
        'prompt': stats.prompt_s,
        'load': stats.load_s,
        'truncated': stats.truncated,
        'done_reason': stats.done_reason,
    }


def _live(job: JobView) -> dict[str, Any]:
    usage = job.usage
    return {
        'text': job.text,
        'thinking': job.thinking,
        'tools': _tools(job.answer.tools),
        'thought': job.answer.thought_s,
        'state': 'dead' if job.state is State.DEAD else str(job.state),
        'priority': job.priority,
        'ahead': job.ahead,
        'reason': job.reason,
        'due': job.due_at or job.not_before,
        'queued': job.queued_at,
        'earliest': job.earliest_at,
        'latest': job.latest_at,
        'will_load': job.load_s,
        'other': job.alternative,
        'other_at': job.alternative_at,
        'hint': job.hint,
        'after': job.after,
        'started': job.started_at,
        'tokens': job.tokens,
        'rate': round(job.tokens_per_s, 1),
        'note': job.requeue_reason,
        'starts': job.starts,
        'losses': job.losses,
        'failures': job.failures,
        'worker': job.worker,
        'engine': job.engine,
        'epoch': job.epoch,
        'code': job.code,
        'detail': job.detail,
        'waited': job.waited_s,
        'first': usage.first_token_s,
        'ran': job.ran_s,
        'prompt': usage.prompt_s,
        'load': usage.load_s,
        'truncated': usage.truncated,
        'done_reason': usage.done_reason,
    }
