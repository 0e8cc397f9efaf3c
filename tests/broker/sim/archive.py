"""The broker's past in one world: what is told of it, and what of it is deleted, as ``broker.server`` does both."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from broker import errors, protocol, retention
from broker.replies import Replies

if TYPE_CHECKING:
    from tests.broker.sim.world import World

SETTLED_S = 15.0  # after a start, until what is old goes: longer than any message can be on its way
PURGE_AT_ONCE = 2
Deleted = TypeVar('Deleted')


class Archive:
    """Has the sweep of one broker after the other. What is deleted is looked at, see ``deletions``."""

    def __init__(self, world: 'World') -> None:
        self._world = world
        self._replies = Replies(world.store)  # type: ignore[arg-type]
        self._sweep = retention.Sweep(world.drawn.keep)

    @property
    def due_at(self) -> float:
        """When something old goes."""
        return self._sweep.due_at

    def booted(self) -> None:
        """A new broker begins its round anew."""
        self._sweep = retention.Sweep(self._world.drawn.keep)
        self._sweep.due_at = self._world.broker_now + SETTLED_S

    def answer(self, request: protocol.AnyRequest) -> protocol.Reply:
        """What is told about the past, or deleted of it."""
        if isinstance(request, protocol.Purge):
            return self._purge(request)
        return self._replies.to(request, self._world.broker_now)

    def prune(self) -> None:
        """A little of what may be forgotten goes, when that is due."""
        world, now = self._world, self._world.broker_now
        if self._sweep.due_at > now:
            return
        if world.disk.full:
            self._sweep.failed(now)
            return
        portion = self._sweep.portion(now)
        pruned, gone = self._deleted(lambda: world.store.prune(portion))
        world.history.deletions.pruned(gone, portion, world.drawn.keep, now)
        world.clients.deleted(gone)
        self._sweep.did(pruned, now)

    def _purge(self, request: protocol.Purge) -> protocol.Reply:
        world = self._world
        assert world.core is not None
        if world.disk.full:
            return no_room(request)
        count, gone = self._deleted(lambda: world.store.purge(request.job_id, request.before, PURGE_AT_ONCE))
        world.core.purged(request.job_id, request.before)
        more = count == PURGE_AT_ONCE
        world.history.deletions.purged(gone, request, count, more=more)
        world.clients.deleted(gone)
        return protocol.Purged(rid=request.rid, count=count, more=more)

    def _deleted(self, delete: Callable[[], Deleted]) -> tuple[Deleted, set[str]]:
        """What ``delete`` says, and the jobs that are there no more."""
        store = self._world.store
        before = {name for name in self._world.history.jobs if store.job(name) is not None}
        told = delete()
        return told, {name for name in before if store.job(name) is None}


def no_room(request: protocol.Request) -> protocol.Refused:
    """What a client hears whose request cannot be stored."""
    return protocol.Refused(rid=request.rid, code='disk_full', detail=errors.DISK_FULL, retry_after_s=30.0)
