"""The pages on top of the APIs. Only who wants pages loads this, and NiceGUI with it."""

from collections.abc import Callable

from fastapi import FastAPI
from nicegui import ui
from nicegui.page_arguments import PageArguments

from app.pages import analytics as analytics_page
from app.pages import analytics_sql, analytics_week, downloads, files
from app.pages import chat as chat_page
from app.pages import history as history_page
from app.pages import job as job_page
from app.pages import queue as queue_page
from app.pages import settings as settings_page
from app.pages import workers as workers_page
from app.parts import Parts
from app.past import routes as past
from app.shell import frame, static_files


def mount(api: FastAPI, parts: Callable[[], Parts]) -> None:
    """Mount NiceGUI in ``api``. ``parts`` is asked for each browser tab."""
    static_files.mount(api)
    api.include_router(files.router(parts))
    api.include_router(downloads.router(parts))
    api.include_router(past.router(parts))
    ui.run_with(
        api,
        root=lambda: root(parts()),
        title='Corral',
        favicon=static_files.FOLDER / 'icon.svg',
        dark=None,
        tailwind=False,
        reconnect_timeout=20,
        show_welcome_message=False,
        binding_refresh_interval=None,
    )


def root(parts: Parts) -> None:
    """Everything one browser tab shows."""

    def analytics(arguments: PageArguments) -> None:
        analytics_page.create(parts, arguments)

    def history(arguments: PageArguments) -> None:
        history_page.create(parts, arguments)

    frame.create(
        parts,
        {
            '/chat': lambda: chat_page.create(parts),
            '/queue': lambda: queue_page.create(parts),
            '/queue/{view}': lambda view: queue_page.create(parts, view),
            '/jobs/{job_id}': lambda job_id: job_page.create(parts, job_id),
            '/history': history,
            '/workers': lambda: workers_page.create(parts),
            '/analytics': analytics,
            '/analytics/sql': lambda q='': analytics_sql.create(parts, q),
            '/analytics/week': lambda week='': analytics_week.create(parts, week),
            '/settings': lambda: settings_page.create(parts),
        },
    )
