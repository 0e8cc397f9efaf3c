"""What another order would have done with the jobs of a time."""

import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.own import mirror
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.trouble import Trouble
from app.charts import rehearsals
from broker import rehearsal

WEEK_S = 7 * 86_400.0
Comparison = mirror.of(rehearsals.Comparison)
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class ReplayRequest(BaseModel):
    """What to play once more. ``slots`` are by worker; ``resident`` is how many models an engine keeps in
    memory, without it as many as the record shows.
    """

    model_config = ConfigDict(
        extra='forbid', json_schema_extra={'examples': [{'since': 0, 'policies': ['fifo', 'affinity']}]}
    )

    since: Moment = Field(default=0.0, description='Unix seconds; 0: a week before until.')
    until: Moment = Field(default=0.0, description='Unix seconds; 0: now.')
    policies: list[rehearsal.Policy] = Field(default=list(rehearsal.POLICIES), min_length=1, max_length=4)
    slots: dict[str, Annotated[int, Field(ge=1, le=1024)]] = Field(default={}, max_length=1000)
    resident: int | None = Field(default=None, ge=1, le=100)


def routes(room: Room) -> APIRouter:
    """The path ``/api/replay``."""
    made = router('Statistics')

    @made.post('/api/replay', response_model=Comparison, summary='Compare orders', responses=documented())
    async def replay(wish: ReplayRequest) -> dict[str, Any]:
        """Plays the jobs that ended in a range of time once more, as if the queue had gone by another order.

        `fifo`: who comes first goes first. `priority`: levels, too. `fair`: users share, too. `affinity`: those whose
        model is in memory may go first for a while, too; this is what Corral does. Limits and bounds are those of the
        settings now, under each order. It takes seconds, with very many jobs a minute.
        """
        until = wish.until or time.time()
        since = wish.since or max(0.0, until - WEEK_S)
        if since > until:
            raise Trouble('invalid', 'since must not be after until', param='since')
        if room.analytics is None:
            raise Trouble('unavailable', 'there are no statistics here now', retry_after_s=5.0)
        try:
            found = await rehearsals.compare(
                room.analytics,
                room.broker,
                since=since,
                until=until,
                policies=tuple(dict.fromkeys(wish.policies)),
                slots=wish.slots,
                resident=wish.resident,
            )
        except rehearsals.RehearsalFailed as error:
            raise Trouble('unavailable', str(error)) from None
        return dict(msgspec.to_builtins(found))

    return made
