"""Jobs that wait for other jobs: who waits for whom, and who waits in a circle."""

from collections.abc import Iterable, Mapping, Sequence

SHOWN = 10  # jobs of a circle that an error names


class Chains:
    """The links between blocked jobs and the jobs they wait for. A step costs what it changes, not what there is."""

    def __init__(self) -> None:
        self._missing: dict[str, set[str]] = {}  # by blocked job: what it still waits for
        self._followers: dict[str, dict[str, None]] = {}  # by job: who waits for it, in order of arrival

    def __len__(self) -> int:
        return len(self._missing)

    def add(self, job_id: str, missing: Iterable[str]) -> None:
        """This job waits for those."""
        self._missing[job_id] = set(missing)
        for other in self._missing[job_id]:
            self._followers.setdefault(other, {})[job_id] = None

    def remove(self, job_id: str) -> None:
        """It waits for nothing any more: it is free, or it has ended."""
        for other in self._missing.pop(job_id, ()):
            followers = self._followers[other]
            del followers[job_id]
            if not followers:
                del self._followers[other]

    def completed(self, job_id: str) -> list[str]:
        """Those who waited for this job alone; they are free now."""
        free: list[str] = []
        for follower in self._followers.pop(job_id, {}):
            missing = self._missing[follower]
            missing.discard(job_id)
            if not missing:
                del self._missing[follower]
                free.append(follower)
        return free

    def followers(self, job_id: str) -> list[str]:
        """Those who wait for this job, among others maybe."""
        return list(self._followers.get(job_id, ()))

    def check(self, blocked: Iterable[str]) -> None:
        """Raise AssertionError when others are blocked than these, or links lead nowhere. For tests."""
        assert self._missing.keys() == set(blocked)
        links = {(job_id, other) for job_id, missing in self._missing.items() for other in missing}
        assert links == {(job_id, other) for other, jobs in self._followers.items() for job_id in jobs}


def arrange(after: Mapping[str, Sequence[str]]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Jobs so that each comes behind those it waits for, and for each that cannot the circle it waits in or for.

    Names that are no key of ``after`` are jobs from elsewhere and hold up nobody here.
    """
    missing = {job_id: {other for other in others if other in after} for job_id, others in after.items()}
    followers: dict[str, list[str]] = {}
    for job_id, others in missing.items():
        for other in others:
            followers.setdefault(other, []).append(job_id)
    order = [job_id for job_id, others in missing.items() if not others]
    for job_id in order:  # it grows meanwhile
        for follower in followers.get(job_id, ()):
            missing[follower].discard(job_id)
            if not missing[follower]:
                order.append(follower)
    return order, _circles({job_id: min(others) for job_id, others in missing.items() if others})


def sentence(circle: Sequence[str]) -> str:
    """The circle as an error for people."""
    names = [*circle[:SHOWN], '…'] if len(circle) > SHOWN else [*circle, circle[0]]
    return f'these jobs would wait for each other for ever: {" after ".join(names)}'


def _circles(before: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """By job the circle to which going back and back leads."""
    circles: dict[str, tuple[str, ...]] = {}
    for start in before:
        path: dict[str, int] = {}
        at = start
        while at not in circles and at not in path:
            path[at] = len(path)
            at = before[at]
        circle = circles[at] if at in circles else tuple(path)[path[at] :]
        circles.update(dict.fromkeys(path, circle))
    return circles
