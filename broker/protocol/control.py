"""How the queue is run: pauses and settings."""

import msgspec

from broker.protocol.envelope import Reply, Request

PAUSE_SCOPES = ('all', 'model', 'priority', 'user', 'worker')


class Pause(Request, frozen=True, kw_only=True):
    """Let nothing of this start any more; what runs goes on. ``scope`` is one of PAUSE_SCOPES."""

    scope: str
    name: str = ''


class Resume(Request, frozen=True, kw_only=True):
    """End a pause."""

    scope: str
    name: str = ''


class Drain(Request, frozen=True, kw_only=True):
    """Pause this; when the last run of it has ended, a fact says so."""

    scope: str
    name: str = ''


class GetSettings(Request, frozen=True, kw_only=True):
    """How the broker is set."""


class SetSettings(Request, frozen=True, kw_only=True):
    """Change settings from now on, all or none; those in ``reset`` are as configured again.

    ``values`` is a JSON object by the names of ``BrokerSettings``. What cannot be is refused with 'invalid'.
    """

    values: bytes = b'{}'
    reset: tuple[str, ...] = ()


class Settings(Reply, frozen=True, kw_only=True):
    """The settings in force and those that were configured, as JSON, and which may be changed and which were."""

    values: bytes
    configured: bytes
    changeable: tuple[str, ...]
    changed: tuple[str, ...]
    schema: int = 0  # of queue.db


class PauseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A pause in force. ``name`` is empty for 'all', a number in words for 'priority'."""

    scope: str
    name: str = ''
    draining: bool = False  # something of it still runs, and somebody asked to be told when that has ended
