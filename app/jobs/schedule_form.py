"""The form of a schedule: what it holds, and the schedule that it makes. Pure."""

import json
from typing import Any

import msgspec

from broker import client, protocol


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What the form holds; ``id`` is '' for a new schedule."""

    id: str = ''
    name: str = ''
    cron: str = ''
    timezone: str = 'UTC'
    model: str = ''
    kind: str = 'chat'
    prompt: str = ''
    system: str = ''
    priority: int = 5
    missed: str = 'skip'
    enabled: bool = True


def schedule(form: Form, old: protocol.Schedule | None) -> protocol.Schedule:
    """What the queue is to keep; of one that was there before (``old``) what the form does not show stays."""
    kept = old is not None and not changed(form, old) and (form.kind == old.kind or not asked(old)['simple'])
    asks = _with_model(old.body, form.model) if old is not None and kept else body(form)
    base = old or protocol.Schedule(schedule_id=client.new_job_id(), name='', cron='', kind='', model='', body=b'')
    return msgspec.structs.replace(
        base,
        name=form.name.strip(),
        cron=' '.join(form.cron.split()),
        timezone=form.timezone.strip(),
        kind=form.kind,
        model=form.model,
        body=asks,
        priority=form.priority,
        missed=form.missed,
        enabled=form.enabled,
    )


def asked(schedule: protocol.Schedule) -> dict[str, Any]:
    """The question in the body, where it is one that this form could have made (``simple``)."""
    try:
        made = msgspec.json.decode(schedule.body)
        if schedule.kind == 'generate' and isinstance(made.get('prompt'), str):
            return {'prompt': made['prompt'], 'system': str(made.get('system', '')), 'simple': 'options' not in made}
        said = {str(each['role']): each['content'] for each in made['messages']}
        simple = set(said) <= {'system', 'user'} and len(said) == len(made['messages']) and 'options' not in made
        if simple and all(isinstance(text, str) for text in said.values()):
            return {'prompt': said.get('user', ''), 'system': said.get('system', ''), 'simple': True}
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, AttributeError):
        pass  # a program made it
    return {'prompt': '', 'system': '', 'simple': False}


def changed(form: Form, old: protocol.Schedule) -> bool:
    """Whether the form asks something else than the schedule does."""
    before = asked(old)
    return before['simple'] and (form.prompt, form.system) != (before['prompt'], before['system'])


def body(form: Form) -> bytes:
    """The request for the engine."""
    made: dict[str, Any] = {'model': form.model, 'stream': True}
    if form.kind == 'generate':
        made |= {'prompt': form.prompt} | ({'system': form.system} if form.system else {})
    else:
        system = [{'role': 'system', 'content': form.system}] if form.system else []
        made['messages'] = [*system, {'role': 'user', 'content': form.prompt}]
    return json.dumps(made, ensure_ascii=False).encode()


def _with_model(request: bytes, model: str) -> bytes:
    """A request that stays as it is, for a model that may be another one."""
    try:
        made = msgspec.json.decode(request)
    except (msgspec.MsgspecError, UnicodeError):
        return request
    if not isinstance(made, dict) or made.get('model', model) == model:
        return request
    return json.dumps({**made, 'model': model}, ensure_ascii=False).encode()
