"""How much a test does: what suffices while one works, or what a night allows.

A night is where the environment says CORRAL_NIGHTLY=1.
"""

import os

AT_NIGHT = os.environ.get('CORRAL_NIGHTLY') == '1'


def many(usual: int, at_night: int) -> int:
    """``usual``, or ``at_night``."""
    return at_night if AT_NIGHT else usual
