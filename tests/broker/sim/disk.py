"""The queue's disk: it fills up, stays full for a while, and has room again."""

from typing import TYPE_CHECKING

from broker import errors, protocol
from tests.broker.sim.violation import Violation

if TYPE_CHECKING:
    from tests.broker.sim.world import World

CHANCE = 0.25  # of a world whose disk fills up, and of one more time after each
LATEST_S = 100.0


class SimDisk:
    """First there is too little room for new jobs (``low``), then for anything (``full``). I17: what is said then."""

    def __init__(self, world: 'World') -> None:
        self._world = world
        self.low = self.full = False
        self._perhaps_fills()

    def heal(self) -> None:
        """Somebody makes room, for good."""
        self.low = self.full = False

    def said(self, reply: protocol.Reply | protocol.ToWorker) -> None:
        """Raise Violation when this must not be said with so much room."""
        match reply:
            case protocol.Submitted(results=results):
                for result in results:
                    self.said(result)
            case protocol.Refused(code='disk_full'):
                if not self.low:
                    raise Violation('I17', 'refused for want of room, and there is room')
                if reply.detail != errors.DISK_FULL or reply.retry_after_s <= 0:
                    raise Violation('I17', f'refused with {reply.detail!r}, to be asked again in {reply.retry_after_s}')
                self._world.history.saw['refused while full' if self.full else 'refused while low'] += 1

    def takes_a_job(self) -> None:
        """Raise Violation when there is too little room for one."""
        if self.low:
            raise Violation('I17', 'a job is taken, and there is no room for its answer')

    def check(self) -> None:
        """Raise ``errors.StoreFull`` where a commit would."""
        if self.full:
            raise errors.StoreFull('the disk is full')

    def _perhaps_fills(self) -> None:
        world = self._world
        if world.chance.random() < CHANCE:
            world.at(world.chance.uniform(0, LATEST_S), self._runs_low)

    def _runs_low(self) -> None:
        if not self._world.calm:
            self.low = True
            self._world.at(self._world.chance.uniform(0, 5), self._is_full)

    def _is_full(self) -> None:
        self.full = self.low
        self._world.at(self._world.chance.uniform(0.5, 5), self._has_room)

    def _has_room(self) -> None:
        self.heal()
        self._perhaps_fills()
