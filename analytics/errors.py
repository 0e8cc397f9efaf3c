"""What analytics can raise. The queue never depends on any of it."""


class AnalyticsError(Exception):
    """Something is wrong with the analytics file."""

    def __init__(self, message: str = '') -> None:
        super().__init__(message or (self.__doc__ or '').strip())


class Unavailable(AnalyticsError):
    """The analytics file cannot be used now."""


class Locked(Unavailable):
    """Another process has the analytics file open."""


class Rebuilding(AnalyticsError):
    """The analytics file was damaged; it was set aside and a new one is being filled."""


class Gap(AnalyticsError):
    """Facts are missing between what was recorded and what came."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(
            f'expected the fact with seq {expected}, got {got}: ask the queue for all after {expected - 1}'
        )
        self.expected = expected
        self.got = got


class Refused(AnalyticsError):
    """A statement of the SQL box is wrong, not allowed, or takes too much. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f'Line {line}, column {column}: {message}' if line and column else message)
        self.sentence = message  # without the place
        self.line = line  # 0: nowhere in particular
        self.column = column
