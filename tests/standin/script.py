"""What the stand-in does when it is asked: scripts of models, what a pull gives, replies of other paths."""

from dataclasses import dataclass, field, replace
from typing import Any

VERSION = '0.33.0'
BUSY = 'server busy, please try again.  maximum pending requests exceeded'
CRASHED = 'model runner has unexpectedly stopped, this may be due to resource limitations or an internal error'
TEXT = """\
Here is **Markdown** with `code`:

```python
def greet(name: str) -> str:
    return f'Hello, {name}! 你好，{name}！'
```

| a | b |
|---|---|
| 1 | 二 |
"""


@dataclass
class Script:
    """What a model does. ``after`` counts the chunks before a fault in mid-stream."""

    text: str = TEXT
    chars_per_s: float = 0.0  # 0 is as fast as can be
    first_token_s: float = 0.0
    status: int = 0  # answer with this status and ``error`` before anything else
    error: str = ''
    fault: str = ''  # error, garbage, reset, cut, hang or no_done, once ``after`` chunks were sent
    after: int = 3
    deaf: bool = False  # go on generating when the client has closed the connection
    done_text: str = ''  # content of the final chunk
    thinking: str = ''
    tool_calls: list[dict[str, Any]] = field(default_factory=list)  # in one chunk after the text
    capabilities: tuple[str, ...] = ('completion', 'tools')
    listed: bool = True  # whether /api/tags names it
    size: int = 5_225_388_164


@dataclass
class Library:
    """What a pull of a model gives, by its name; ``parts`` are the sizes of its layers."""

    parts: tuple[int, ...] = (1_200_000_000, 11_000, 500)
    steps: int = 8  # lines for each part
    pause_s: float = 0.0  # between two lines
    error: str = ''  # told in mid-stream, after the first part
    status: int = 0  # answered with it and ``error`` before anything else
    fault: str = ''  # reset, after the first part
    script: Script = field(default_factory=lambda: Script(chars_per_s=400))


@dataclass
class Reply:
    """An answer to a POST on a path that has no other."""

    chunks: tuple[bytes, ...] = (b'{}',)
    status: int = 200
    content_type: str = 'application/json'
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0  # before each chunk but the first
    fault: str = ''  # reset or hang, when all chunks were sent


FAULTS = {
    'slow-first': Script(first_token_s=3.0),
    'hang': Script(fault='hang'),
    'hang-first': Script(fault='hang', after=0),
    'reset': Script(fault='reset'),
    'cut': Script(fault='cut'),
    'error-500': Script(status=500, error='failed to load model'),
    'error-503': Script(status=503, error=BUSY),
    'crash': Script(status=500, error=CRASHED),
    'error-mid': Script(fault='error', error='an error was encountered while running the model: unexpected EOF'),
    'busy-mid': Script(fault='error', error=BUSY),
    'crash-mid': Script(fault='error', error=CRASHED),
    'garbage': Script(fault='garbage'),
    'no-done': Script(fault='no_done'),
    'deaf': Script(chars_per_s=40, deaf=True),
}


def default_models(*, faults: bool) -> dict[str, Script]:
    """The models that are there at first; with ``faults`` also one for each thing that can go wrong."""
    models = {
        'qwen3:latest': Script(chars_per_s=400),
        'llama3.2:latest': Script(chars_per_s=400),
        'nomic-embed-text:latest': Script(capabilities=('embedding',)),
    }
    return models | ({f'{name}:latest': replace(script) for name, script in FAULTS.items()} if faults else {})
