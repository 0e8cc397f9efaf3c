"""What a worker does with the models of its engine when somebody asks: load, unload, pull, remove and the like.

An errand is no job: it takes no slot and waits for nobody. It is nothing for the log either: the broker keeps it in
memory, with the newest of its progress, so that everybody sees the same and finds it again.
"""

import msgspec

ACTIONS = ('load', 'unload', 'pull', 'remove', 'copy', 'create', 'push')
FINAL = frozenset({'done', 'failed', 'cancelled'})
MAX_BODY_BYTES = 64 * 1024
MAX_MODEL, MAX_STATUS, MAX_DETAIL = 300, 200, 500  # characters
FOR_EVER = -1.0


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One errand and how far it is. Times are unix seconds of the broker, sizes bytes, 0 while unknown.

    ``state`` is 'asked' until the worker has begun, then 'running', at last 'done', 'failed' or 'cancelled'.
    """

    errand_id: str
    worker: str
    action: str
    model: str
    state: str = 'asked'
    status: str = ''  # the engine's own word for what it is at
    completed: int = 0  # of all parts together
    total: int = 0
    digest: str = ''  # of the part that comes just now, and how far that is
    part_completed: int = 0
    part_total: int = 0
    code: str = ''  # why it failed: for programs, and …
    detail: str = ''  # … for people
    asked_at: float = 0.0
    ended_at: float = 0.0

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done. ``keep_s`` of a load: how long it stays unused, 0 as the engine does, FOR_EVER for ever.

    ``body`` is for those that need more than a name (copy, create, push): the request as Ollama takes it.
    """

    errand_id: str
    action: str
    model: str
    keep_s: float = 0.0
    body: bytes = b''


def problem_with(order: Order) -> str:
    """Why this cannot be done, '' when it can."""
    if order.action not in ACTIONS:
        return f'action must be one of {", ".join(ACTIONS)}'
    if not 1 <= len(order.errand_id) <= MAX_STATUS:
        return f'errand_id must be 1 to {MAX_STATUS} characters'
    if not 1 <= len(order.model) <= MAX_MODEL or not order.model.isprintable() or order.model != order.model.strip():
        return f'model must be a name of 1 to {MAX_MODEL} characters'
    if not (order.keep_s == FOR_EVER or 0 <= order.keep_s <= 31_536_000):
        return 'keep_s must be 0 to 31536000 seconds, or -1 for ever'
    return f'body may have {MAX_BODY_BYTES} bytes' if len(order.body) > MAX_BODY_BYTES else ''
