"""Where the browser brings what is attached to a question, and gets it again: too much for the page's socket."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from app.chats.chat_refusal import ChatError
from app.desk import DeskError
from app.parts import Parts

PATH = '/desk/files'
STATUS = {'file_large': 413, 'file_kind': 415, 'file_room': 507}
SAFE = {
    'content-security-policy': "default-src 'none'; sandbox",
    'cache-control': 'private, max-age=31536000, immutable',
}

Pixels = Annotated[int, Query(ge=0, le=100_000)]


def router(parts: Callable[[], Parts]) -> APIRouter:
    """``POST /desk/files?name=…`` with the bytes as the body, and ``GET /desk/files/<id>``."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(PATH)
    async def bring(request: Request, name: str = 'file', width: Pixels = 0, height: Pixels = 0) -> Response:
        try:
            file = await parts().chat.attachments.add(name, await request.body(), width=width, height=height)
        except ChatError as error:
            return JSONResponse({'code': error.code, **error.values}, STATUS.get(error.code, 400))
        except DeskError:
            return JSONResponse({'code': 'file_unstored'}, 507)
        told = {'id': file.id, 'name': file.name, 'picture': file.picture, 'size': file.size}
        return JSONResponse({**told, 'ratio': width / height if width and height else 0.0})

    @routes.get(PATH + '/{file_id}')
    async def get(file_id: str) -> Response:
        found = await parts().chat.attachments.one(file_id)
        if found is None:
            return Response(status_code=404)
        file, data = found
        kind = file.media_type if file.picture else 'text/plain; charset=utf-8'
        name = f"inline; filename*=UTF-8''{quote(file.name)}"
        return Response(data, media_type=kind, headers={**SAFE, 'content-disposition': name})

    return routes
