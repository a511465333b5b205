"""The description of the HTTP interface, in OpenAPI 3.1, of which the options are those of the command."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from xumx.base.options import Option
from xumx.serve.choices import BOUNDS, options_of

_TYPES = {int: "integer", float: "number", bool: "boolean"}
_AUDIO = {"audio/*": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}}


def document() -> dict[str, Any]:
    """Write the description.

    >>> sorted(document()["paths"])[:2]
    ['/api/enter', '/api/events']
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "xumx serve",
            "version": version("xumx"),
            "description": 'Songs in, stems out. Errors are {"error": a sentence}.',
        },
        "servers": [{"url": "."}],
        "security": [{}, {"bearer": []}, {"cookie": []}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "xumx-token"},
            },
        },
    }


def _paths() -> dict[str, Any]:
    job = "/api/jobs/{id}"
    found: dict[str, dict[str, Any]] = {
        "/api/enter": {"post": _enter()},
        "/api/server": {"get": _get("Limits and choices of this server", _json("Server"))},
        "/api/models": {"get": _get("Networks, and the stems they give", _json("Model", several=True))},
        "/api/events": {"get": _get("Events of all jobs, without end: jobs, job, gone, notice", _events())},
        "/api/jobs": {"get": _get("All jobs", _json("Job", several=True)), "post": _post()},
        job: {
            "get": _get("A job", _json("Job"), 404),
            "delete": {
                "summary": "Remove a job and its files; one that runs stops",
                "responses": {"204": {"description": "It is gone"}, **_errors(404)},
            },
        },
        f"{job}/events": {"get": _get("Events of a job, until it is over: job, gone", _events(), 404)},
        f"{job}/stems/{{name}}": {"get": _get("A stem, as a file", _AUDIO, 404, 409)},
        f"{job}/zip": {"get": _get("All stems", {"application/zip": {}}, 404, 409)},
        f"{job}/mix": {"get": _get("The sum of the stems, each at a gain", _AUDIO, 404, 409, 422)},
        f"{job}/player": {"get": _get("The player, as an element of HTML", {"text/html": {}}, 404, 409)},
        f"{job}/sound/{{name}}": {
            "get": _get("What it plays: MP3 of a piece of a track, <track>-<piece>.mp3", _AUDIO, 404, 409)
        },
    }
    for path, methods in found.items():
        names = [name for name in ("id", "name") if f"{{{name}}}" in path]
        if names:
            methods["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
    found[f"{job}/mix"]["get"]["parameters"] = [
        {
            "name": "gain",
            "in": "query",
            "description": "STEM:NUMBER, from 0 to 4; stems that are not named are at 1",
            "schema": {"type": "array", "items": {"type": "string"}},
        }
    ]
    return found


def _get(summary: str, content: dict[str, Any], *errors: int) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, **_errors(*errors)},
    }


def _enter() -> dict[str, Any]:
    return {
        "summary": "The token, for the cookie that browsers need",
        "security": [{}],
        "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}},
        "responses": {"204": {"description": "The cookie is set"}, **_errors(413)},
    }


def _post() -> dict[str, Any]:
    fields: dict[str, Any] = {
        "file": {
            "type": "array",
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        },
        "path": {
            "type": "array",
            "items": {"type": "string"},
            "description": "songs below the server's music_dir, in place of files",
        },
    }
    fields |= {one.name: _option(one) for one in options_of().values()}
    answer = {"oneOf": [_ref("Job"), {"type": "array", "items": {"oneOf": [_ref("Job"), _ref("Refused")]}}]}
    content = {"application/json": {"schema": answer}}
    return {
        "summary": "Separate songs: a job for one, a list of jobs for several",
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": {"type": "object", "properties": fields}}},
        },
        "responses": {
            "200": {"description": "They were here already, with the same options", "content": content},
            "201": {"description": "They wait for their turn", "content": content},
            **_errors(400, 408, 413, 415, 422, 429, 507),
        },
    }


def _option(one: Option) -> dict[str, Any]:
    """The schema of a field that is an option."""
    found: dict[str, Any] = {"type": _TYPES.get(one.kind, "string"), "description": one.help}
    if one.choices:
        found["enum"] = list(one.choices)
    if one.name in BOUNDS:
        found["minimum"], found["maximum"] = BOUNDS[one.name]
    if one.type:  # read from text, such as 320k or JSON
        found["type"] = "string"
    if one.nargs:
        description = found.pop("description")
        found = {"type": "array", "items": found, "description": description}
    elif isinstance(one.default, (str, int, float)) and not isinstance(one.default, bool):
        found["default"] = one.default
    return found


def _json(name: str, several: bool = False) -> dict[str, Any]:
    schema = {"type": "array", "items": _ref(name)} if several else _ref(name)
    return {"application/json": {"schema": schema}}


def _events() -> dict[str, Any]:
    return {"text/event-stream": {"schema": {"type": "string"}}}


def _errors(*codes: int) -> dict[str, Any]:
    words = {
        400: "The form is broken",
        401: "The token is missing or wrong",
        403: "The request comes from the page of another site",
        404: "There is nothing of that name, or not any more",
        408: "The request came too slowly",
        409: "The job is not done",
        413: "Too large, too long or too many",
        415: "It is no audio, or no form",
        421: "The server is not called by that name",
        422: "An option cannot be",
        429: "Too many songs wait",
        507: "The server's disk is full",
    }
    return {
        str(code): {"description": words[code], "content": _json("Error")} for code in (401, 403, 421, *codes)
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Any]:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    or_none = {"type": ["number", "null"]}
    texts = {"type": "array", "items": text}
    return {
        "Error": _object(error=text),
        "Refused": _object(name=text, error=text),
        "Model": _object(name=text, stems=texts, default={"type": "boolean"}),
        "Server": _object(
            max_upload=whole,
            max_duration=number,
            max_queue=whole,
            keep=or_none,
            paths={"type": "boolean"},
            choices={"type": "object", "additionalProperties": texts},
        ),
        "Job": _object(
            id=text,
            name=text,
            status={"type": "string", "enum": ["queued", "running", "done", "failed"]},
            progress={"type": "number", "minimum": 0, "maximum": 1},
            stage={"type": "string", "description": "what is being done, such as separating"},
            done={"type": "number", "description": "seconds of music of that, or bytes while downloading"},
            total={**or_none, "description": "of how many"},
            error=text,
            seconds=or_none,
            size={**whole, "description": "bytes of the song's file"},
            created={**number, "description": "seconds since 1970"},
            finished=or_none,
            options={"type": "object"},
            stems={**texts, "description": "names of the stems, once it is done"},
        ),
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
