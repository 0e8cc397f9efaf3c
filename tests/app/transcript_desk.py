"""A page that is only a transcript, for the browser tests: ``python -m tests.app.transcript_desk`` prints its port.

``POST /show`` (a list of views) and ``POST /one`` (a view) are what the desk would show; ``POST /stream`` (a view and
how many characters come at once) lets its text grow; ``POST /panel`` ('on' or 'off') takes the element off the page and
puts it there again; ``GET /wishes`` has what the user asked for.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn
from fastapi import Body, FastAPI
from nicegui import ui

from app.components.transcript import Transcript, View
from app.shell import static_files, theme

api = FastAPI()
wishes: list[list[Any]] = []
truth: dict[str, View] = {}  # what a page that is opened now shows
page: dict[str, Any] = {}


def root() -> None:
    with theme.box('page') as place:
        tabs = ui.tab_panels(ui.tabs(), value='on', animated=False, keep_alive=False).style('height: 100vh')
        with tabs:
            with ui.tab_panel('on').classes('page').style('padding: 0'):
                page['transcript'] = Transcript(
                    list(truth.values()),
                    on_stop=lambda job: wishes.append(['stop', job]),
                    on_retry=lambda message: wishes.append(['retry', message]),
                    on_priority=lambda job, priority: wishes.append(['priority', job, priority]),
                    on_other=lambda job, model: wishes.append(['other', job, model]),
                )
                with page['transcript']:
                    theme.text('Nothing yet')
            ui.tab_panel('off')
    page.update(tabs=tabs, place=place)


@api.post('/show')
async def show(messages: list[View]) -> None:
    truth.clear()
    truth.update({message['id']: message for message in messages})
    with page['place']:
        page['transcript'].show(messages)


@api.post('/one')
async def one(message: View) -> None:
    truth[message['id']] = message
    with page['place']:
        page['transcript'].show_one(message)


@api.post('/stream')
async def stream(message: View = Body(), step: int = Body(), pause_s: float = Body()) -> None:  # noqa: B008
    for end in range(step, len(message['text']) + step, step):
        await one(message | {'text': message['text'][:end], 'tokens': end // 4})
        await asyncio.sleep(pause_s)


@api.post('/panel')
async def panel(name: str = Body(embed=True)) -> None:
    with page['place']:
        page['tabs'].set_value(name)


@api.get('/wishes')
async def asked() -> list[list[Any]]:
    return wishes


if __name__ == '__main__':
    static_files.mount(api)
    ui.run_with(
        api,
        root=root,
        tailwind=False,
        show_welcome_message=False,
        binding_refresh_interval=None,
        reconnect_timeout=60,  # a busy machine may take long to draw; by the default the page would be loaded anew then
    )
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(api, log_level='warning', timeout_graceful_shutdown=1))
    sys.exit(server.run(sockets=[listener]))
