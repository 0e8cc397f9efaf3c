"""What brings a file of an earlier version up to this one, with all that it holds.

Pure. Whoever changes ``schema.sql`` or the tables of ``rollups.py`` counts ``SCHEMA_VERSION`` up and says in ``STEPS``
what makes a file of the version before one of the new one, for example ``ALTER TABLE starts ADD COLUMN …``. The queue
has pruned facts of long ago, so a file that is set aside and rebuilt has lost them.
"""

SCHEMA_VERSION = 5
STEPS: dict[int, tuple[str, ...]] = {}  # by version: the statements that make a file of it one of the next version


def statements(found: int) -> list[str] | None:
    """What makes a file of version ``found`` one of ``SCHEMA_VERSION``; None when there is no way."""
    if found > SCHEMA_VERSION or any(version not in STEPS for version in range(found, SCHEMA_VERSION)):
        return None
    return [statement for version in range(found, SCHEMA_VERSION) for statement in STEPS[version]]
