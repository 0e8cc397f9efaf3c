"""What a request may ask of the demo, for tests and for trying things out.

It is ``options.demo`` in the body of the request, e.g.::

    {"model": "demo", "messages": […], "options": {"demo": {"chars_per_s": 5000, "length": 20000}}}

A key that is unknown or has a wrong value makes the request fail with ``bad_request``.
"""

from typing import Annotated, Any

import msgspec

from workers.engines.failure import EngineFailure

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Fail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fail once ``after`` chunks were sent."""

    code: Code = 'engine_error'
    after: Count = 0
    detail: str = 'scripted failure'
    retryable: bool = False


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the demo should behave for one request. All fields may be left out."""

    chars_per_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None  # else the worker's setting
    first_token_s: Seconds | None = None  # silence before the first chunk; else the worker's setting
    text: str | None = None  # say exactly this
    tool_calls: list[dict[str, Any]] = []  # in one chunk after the text, as Ollama writes them
    length: Count | None = None  # repeat or cut the text to so many characters
    fail: Fail | None = None
    hang_after: Count | None = None  # fall silent for ever after so many chunks
    end_after: Count | None = None  # end after so many chunks without saying that it is done


def read(options: Any) -> Script:
    """The script in the ``options`` of a body, or an empty one. Raises ``EngineFailure``."""
    script = options.get('demo') if isinstance(options, dict) else None
    try:
        return msgspec.convert({} if script is None else script, Script)
    except msgspec.ValidationError as error:
        raise EngineFailure('bad_request', f'options.demo: {error}') from None
