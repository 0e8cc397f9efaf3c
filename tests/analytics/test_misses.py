"""How far predictions were off, worked out by hand."""

from analytics import misses
from analytics.answers import Filter
from tests.analytics.made import T0, completed, queued, started

OFF_S = (-100.0, -60.0, -1.0, 4.9, 5.0, 61.0)  # real starts, from the middle of the interval


async def test_starts_are_counted_by_how_far_they_were_from_the_middle(opened):
    batch = []
    for n, off_s in enumerate(OFF_S):
        at = T0 + n
        told = {'predicted_from': at - off_s - 3, 'predicted_until': at - off_s + 3}
        batch.append(queued(len(batch) + 1, at - 1, f'j{n}'))
        batch.append(started(len(batch) + 1, at, f'j{n}', **told))
        batch.append(completed(len(batch) + 1, at + 1, f'j{n}', started_at=at))
    batch.append(completed(len(batch) + 1, T0 + 9, 'untold', started_at=T0))
    await opened.record(batch)
    found = await misses.misses(opened.store, since=T0, until=T0 + 100)
    assert found.starts == [1, 1, 0, 2, 1, 0, 1]
    none = await misses.misses(opened.store, since=T0, until=T0 + 100, only=Filter(users=('nobody',)))
    assert none.starts == [0] * 7
