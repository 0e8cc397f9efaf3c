"""The summary of a week as a document."""

from app import i18n
from app.components.fed import Fed


class WeekReport(Fed, component='week_report.js'):
    """Shows what ``app.charts.week.report`` tells, or ``{'problem'}``."""

    def __init__(self) -> None:
        super().__init__()
        i18n.labels(
            self,
            previous='Previous week',
            next='Next week',
            week='Week',
            empty='No job ended in this week.',
            jobs='Jobs',
            hour='Hour',
        )
