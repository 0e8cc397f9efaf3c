"""The door for files of OpenAI's API: what batches are made from, and what came out of them."""

from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from app.api import bodies, openai
from app.api.openai_query import Query
from app.api.openai_shelf import KEPT_S, Shelf
from app.api.trouble import TOO_LONG, Trouble

PATH = '/v1/files'
PURPOSE = 'batch'
MOST = 10_000  # files of one page
FORM_BYTES = 64 * 1024  # what a form has besides the file
LIFE_S = (3600, 2_592_000)  # the shortest and the longest that may be asked for


def router(shelf: Shelf) -> APIRouter:
    """All paths of files."""
    routes = APIRouter(tags=['OpenAI'])

    @routes.post(PATH, summary='Keep a file with the lines of a batch')
    @openai.saying_no
    async def upload(request: Request) -> Response:
        length = request.headers.get('content-length', '')
        await shelf.make_room(int(length) - FORM_BYTES if length.isdigit() else 0)  # before all of it has come
        form = await _form(request)
        try:
            return openai.json(await _kept(shelf, form))
        finally:
            await form.close()

    @routes.get(PATH, summary='The files that are kept')
    @openai.saying_no
    async def listed(request: Request) -> Response:
        query = Query(request)
        found, more = await shelf.files(
            purpose=query.text('purpose'),
            after=query.text('after'),
            limit=query.number('limit', MOST, 1, MOST),
            newest_first=query.newest_first,
        )
        return openai.json(page(found, more))

    @routes.get(f'{PATH}/{{name}}', summary='What is known about a file')
    @openai.saying_no
    async def one(request: Request) -> Response:
        return openai.json(await shelf.file(request.path_params['name']))

    @routes.get(f'{PATH}/{{name}}/content', summary='The bytes of a file')
    @openai.saying_no
    async def content(request: Request) -> Response:
        file = await shelf.file(request.path_params['name'])
        return FileResponse(shelf.path(file), media_type='application/octet-stream', filename=file.filename)

    @routes.delete(f'{PATH}/{{name}}', summary='Delete a file')
    @openai.saying_no
    async def delete(request: Request) -> Response:
        file = await shelf.file(request.path_params['name'])
        if file.id in shelf.in_use:
            raise Trouble('bad_request', f'{file.id} is the input of a batch that goes on; cancel that first.')
        await shelf.drop(file.id)
        return openai.json({'id': file.id, 'object': 'file', 'deleted': True})

    return routes


def page(found: list[Any], more: bool) -> dict[str, Any]:
    """A list as all of this API's lists are."""
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    return {'object': 'list', 'data': found, 'first_id': first, 'last_id': last, 'has_more': more}


async def _form(request: Request) -> FormData:
    bodies.plain(request)
    try:
        return await request.form(max_files=1, max_fields=20)
    except HTTPException as error:
        code = TOO_LONG if error.status_code == 413 else 'bad_request'
        raise Trouble(code, str(error.detail)) from None
    except ClientDisconnect:  # nobody will read this
        raise Trouble('bad_request', 'the request broke off') from None
    except OSError:  # where the system keeps what it is sent
        raise Trouble('disk_full', 'The desk cannot take this file now; its disk may be full.') from None


async def _kept(shelf: Shelf, form: FormData) -> Any:
    file, purpose = form.get('file'), form.get('purpose')
    if not isinstance(file, UploadFile):
        detail = "Missing required parameter: 'file'; send it as multipart/form-data."
        raise Trouble('missing_required_parameter', detail, param='file')
    if not purpose:
        raise Trouble('missing_required_parameter', "Missing required parameter: 'purpose'.", param='purpose')
    if purpose != PURPOSE:
        raise Trouble('bad_request', 'purpose must be batch: other files are of no use here.', param='purpose')
    name = ''.join(character for character in file.filename or '' if character.isprintable())
    draft = shelf.draft(name or 'upload', PURPOSE, kept_s=_life_s(form))
    try:
        await draft.copy(file.file)
        if draft.empty:
            raise Trouble('bad_request', 'The file is empty.', param='file')
        return await draft.finish()
    finally:
        await draft.discard()


def _life_s(form: FormData) -> int:
    asked = form.get('expires_after[seconds]')
    if asked is None:
        return KEPT_S
    least, most = LIFE_S
    if not isinstance(asked, str) or not asked.isdecimal() or not least <= int(asked[:12]) <= most:
        raise Trouble('bad_request', f'expires_after must be {least} to {most} seconds.', param='expires_after.seconds')
    if form.get('expires_after[anchor]', 'created_at') != 'created_at':
        raise Trouble('bad_request', 'expires_after counts from created_at.', param='expires_after.anchor')
    return int(asked)
