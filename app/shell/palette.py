"""What the command palette finds: conversations by title, models, jobs by id. Pure but for what it asks."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from app.parts import Parts
from broker.job import State

Item = dict[str, Any]  # a line; ``when`` in it is a unix time, which the browser says in its own words

RECENT = 6
SHOWN = 12
ID_LENGTH = 32
SHORTEST_ID = 4
_STATES = {
    State.COMPLETED: 'ok',
    State.DEAD: 'bad',
    State.RUNNING: 'run',
    State.CANCELLING: 'run',
}


def find(parts: Parts, text: str) -> list[Item]:
    """The conversations, models and jobs that fit ``text``, best first; without a text the latest conversations."""
    wanted = folded(text)
    if not wanted:
        return _conversations(parts, parts.chat.conversations()[:RECENT]) if parts.chat is not None else []
    return [*_titled(parts, wanted), *_models(parts, wanted), *_jobs(parts, wanted)]


def said(found: Iterable[Any], known: Iterable[Item]) -> list[Item]:
    """Conversations in which it was said, of what ``shelf_search`` found, without those that are ``known`` by title."""
    listed = {item.get('href') for item in known}
    return [
        {
            'kind': 'said',
            'icon': 'search',
            'name': each.conversation.title,
            'note': ''.join(text for text, _ in each.hits[0].snippet),
            'href': f'/chat/{each.conversation.id}',
        }
        for each in found
        if each.hits and f'/chat/{each.conversation.id}' not in listed
    ]


def folded(text: str) -> str:
    """For comparing: one width, no case, single spaces."""
    return ' '.join(unicodedata.normalize('NFKC', text).casefold().split())


def score(name: str, wanted: str) -> int:
    """How well a folded ``name`` fits: 0 not at all, 4 when it begins with it.

    Every word has to be there, in any order; a single one may leave letters out (``qwn`` finds ``qwen3``) unless it is
    Chinese.
    """
    if name.startswith(wanted):
        return 4
    if wanted in name:
        return 3
    words = wanted.split()
    if all(word in name for word in words):
        return 2
    return 1 if len(words) == 1 and len(wanted) > 1 and wanted.isascii() and _in_order(wanted, name) else 0


def named(parts: Parts, found: Iterable[Item]) -> bool:
    """Put names in where one has become known since these were found; whether there was one."""
    news = False
    for item in found:
        if item['kind'] == 'job' and (name := parts.openings.known(item['name'])):
            item['name'], news = name, True
    return news


def _in_order(letters: str, name: str) -> bool:
    rest = iter(name)
    return all(letter in rest for letter in letters)


def _titled(parts: Parts, wanted: str) -> list[Item]:
    if parts.chat is None:
        return []
    fits = [(score(folded(header.title), wanted), header) for header in parts.chat.conversations()]
    best = sorted((pair for pair in fits if pair[0] > 1), key=lambda pair: -pair[0])  # stable: the newest first
    return _conversations(parts, (header for _, header in best[:SHOWN]))


def _conversations(parts: Parts, headers: Iterable[Any]) -> list[Item]:
    active = parts.chat.active()
    return [
        {
            'kind': 'conversation',
            'icon': 'chat',
            'name': header.title,
            'note': '',
            'when': header.updated_at,
            'dot': {'running': 'run', 'waiting': 'held'}.get(active.get(header.id, ''), ''),
            'href': f'/chat/{header.id}',
        }
        for header in headers
    ]


def _models(parts: Parts, wanted: str) -> list[Item]:
    models = [each for each in parts.board.models() if not each.capabilities or 'completion' in each.capabilities]
    fits = sorted(((score(folded(each.name), wanted), each) for each in models), key=lambda pair: -pair[0])
    return [
        {
            'kind': 'model',
            'icon': 'bolt',
            'name': each.name,
            'note': ' '.join(filter(None, (each.parameter_size, each.quantization))),
            'model': each.name,
        }
        for fit, each in fits[:SHOWN]
        if fit
    ]


def _jobs(parts: Parts, wanted: str) -> list[Item]:
    """A whole id always leads somewhere; the beginning of one finds what the board knows."""
    if len(wanted) < SHORTEST_ID or not set(wanted) <= set('0123456789abcdef'):
        return []
    board = parts.board
    known = [*board.running(), *board.waiting(), *board.finished()]
    found = [job for job in known if job.job_id.startswith(wanted)][:SHOWN]
    items = [
        {
            'kind': 'job',
            'icon': 'queue',
            'name': parts.name_of(job.job_id, job.conversation_id) or job.job_id,
            'note': job.model,
            'when': job.queued_at,
            'dot': _STATES.get(job.state, 'held'),
            'href': f'/jobs/{job.job_id}',
        }
        for job in found
    ]
    if not items and len(wanted) == ID_LENGTH:
        items = [{'kind': 'job', 'icon': 'queue', 'name': wanted, 'note': '', 'href': f'/jobs/{wanted}'}]
    return items
