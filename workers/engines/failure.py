"""How an engine says that it cannot answer."""


class EngineFailure(Exception):
    """The engine could not answer. ``code`` is for programs, ``detail`` is the engine's own word for people.

    ``retryable`` when another try may well succeed: the server was away, busy, crashed or too slow.
    """

    def __init__(self, code: str, detail: str, *, retryable: bool = False) -> None:
        super().__init__(f'{code}: {detail}')
        self.code = code
        self.detail = detail
        self.retryable = retryable


def refused(status: int) -> str:
    """The code of a request that the engine did not want: the usual no is 'refused', others keep their status."""
    return 'refused' if status == 403 else f'refused_{status}'


# Words with which Ollama reports that the process behind a model died; a new try starts a new one.
_CRASHED = ('runner has unexpectedly stopped', 'runner process has terminated', 'runner process no longer running')


def from_error(detail: str, status: int = 500) -> EngineFailure:
    """The failure that Ollama's error string means, with the HTTP status it came with (500 within a stream)."""
    if status in (502, 503, 504) or 'server busy' in detail:
        return EngineFailure('busy', detail, retryable=True)
    if status == 404:
        return EngineFailure('model_not_found', detail)
    if status == 400:
        return EngineFailure('bad_request', detail)
    if 400 <= status < 500:
        return EngineFailure(refused(status), detail)
    if any(words in detail for words in _CRASHED):
        return EngineFailure('runner_crashed', detail, retryable=True)
    return EngineFailure('engine_error', detail)
