"""The time zones that there are: looking for them reads some six hundred files, so they are looked for once."""

import functools
import zoneinfo


@functools.cache
def names() -> tuple[str, ...]:
    """Their IANA names, sorted. The first call takes a moment: the desk makes it in a thread when it starts."""
    return tuple(sorted(zoneinfo.available_timezones()))
