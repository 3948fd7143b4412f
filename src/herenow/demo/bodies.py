"""Reading requests: bounded, and either what was expected or refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request

MAX_JSON_BYTES: Final = 16_384
MAX_FORM_BYTES: Final = 2_048

_MAX_FORM_FIELDS: Final = 16


class Refusal(Exception):
    """A request that is answered with *status* and a sentence for whoever reads it."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of the body."""
    body = await _read(request, "application/json", MAX_JSON_BYTES)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "That is not JSON.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "That is not a JSON object.")
    return value


async def read_form(request: Request) -> dict[str, str]:
    """The fields of the form in the body."""
    body = await _read(request, "application/x-www-form-urlencoded", MAX_FORM_BYTES)
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FORM_FIELDS,
        )
    except ValueError:
        raise Refusal(400, "That is not a form.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refusal(400, "A field of the form is there twice.")
    return fields


def text_of(fields: Mapping[str, Any], name: str, at_most: int, what: str) -> str:
    """The text *name*, without white space around it: 1 to *at_most* characters.

    *what* begins the sentence when it is not that: "A message", say.
    """
    value = fields.get(name)
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= at_most:
        raise Refusal(400, f"{what} has 1 to {at_most} characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(400, f"{what} is Unicode text, without half a character.") from None
    return text


async def _read(request: Request, content_type: str, at_most: int) -> bytes:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise Refusal(415, f"The request must be {content_type}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > at_most:
            raise Refusal(413, "That is too long.")
    return bytes(body)
