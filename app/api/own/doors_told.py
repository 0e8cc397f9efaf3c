"""x"""

from typing import Any


def add(made: dict[str, Any]) -> None: ...
