"""What an engine says while it loads, pulls or removes a model, and why it could not."""

import msgspec

from workers.engines.failure import EngineFailure


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. Bytes; ``part_…`` is of what comes just now, which ``digest`` names."""

    status: str = ''
    completed: int = 0
    total: int = 0
    digest: str = ''
    part_completed: int = 0
    part_total: int = 0


# Words of Ollama by which we know what is wrong, and what to do about it.
_KNOWN = (
    (('no space left on device', 'not enough space', 'disk quota exceeded'), 'disk_full',
     'the disk of that machine is full; remove a model there or make room, then pull again: it goes on where it was'),
    (('file does not exist', 'manifest unknown', 'pull model manifest: 404', 'not found in registry'), 'unknown_model',
     'there is no model of this name in the library; look the name up at ollama.com/library'),
    (('requires a newer version',), 'engine_old',
     'this model needs a newer Ollama; update Ollama on that machine, then pull again'),
    (('no such host', 'dial tcp', 'network is unreachable', 'tls handshake timeout', 'i/o timeout'), 'offline',
     'that machine does not reach the library of models; check its network, then pull again: it goes on where it was'),
    (('unauthorized', 'access denied'), 'refused', 'the library does not let that machine have this model'),
)  # fmt: skip


def trouble(detail: str, status: int = 500) -> EngineFailure:
    """The failure that Ollama's error string means, in one sentence that says what to do where we know it."""
    said = detail.lower()
    for words, code, sentence in _KNOWN:
        if any(word in said for word in words):
            return EngineFailure(code, sentence)
    if status == 404 or ('model' in said and said.endswith('not found')):
        return EngineFailure('model_not_found', detail or 'there is no such model')
    if status == 400:
        return EngineFailure('bad_request', detail)
    return EngineFailure('engine_error', detail or f'the engine answered with status {status}')


class Parts:
    """Adds up what is told part by part."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[int, int]] = {}

    def take(self, status: str, digest: str, completed: int, total: int) -> Progress:
        """The next line of a pull."""
        if digest and total:
            self._parts[digest] = (min(completed, total), total)
        return Progress(
            status=status,
            completed=sum(done for done, _ in self._parts.values()),
            total=sum(whole for _, whole in self._parts.values()),
            digest=digest,
            part_completed=min(completed, total),
            part_total=total,
        )
