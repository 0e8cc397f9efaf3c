"""A stand-in for Ollama 0.33: the same routes, framing, errors and status codes, with scripted speed and faults.

In a test: ``async with StandIn() as ollama: … ollama.url``. As a process: ``python -m tests.standin --port 0`` prints
``{"url": …}`` and stops when its stdin ends or on SIGTERM. What a model does is a ``Script``; add one by
``ollama.models['name:latest'] = Script(…)`` or by ``POST /control/models {"name:latest": {…}}``.
``POST /control/replies {"/v1/x": {"chunks": ["…"]}}`` is the same for replies (see below), bytes as latin-1.
``POST /control/pace {"name:latest": 0}`` sets how fast it talks, also in the midst of an answer.
``GET /control/state`` tells what happened: requests in flight, connections that clients closed, what was sent.
With ``parallel`` it runs so many requests of a model at once and lets the others wait, in their order, without a word.
Any other path answers a POST as ``ollama.replies['/v1/rerank'] = Reply(…)`` says.
It speaks HTTP by hand, so that it can reset a connection or go on generating for a client that is gone.
"""

from tests.standin.script import BUSY, CRASHED, Library, Reply, Script
from tests.standin.server import StandIn
from tests.standin.shelf import Loaded

__all__ = ['BUSY', 'CRASHED', 'Library', 'Loaded', 'Reply', 'Script', 'StandIn']
