"""What the checkers raise."""


class Violation(AssertionError):
    """A promise was broken; ``invariant`` is its short name, such as 'I6'."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f'{invariant}: {what}')
        self.invariant = invariant
