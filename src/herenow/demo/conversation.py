"""What people say, published through the server's HTTP API."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from herenow import AsyncChannels, ChannelsError
from herenow.demo.access import Access, room_named
from herenow.demo.bodies import Refusal, read_object, text_of

T = TypeVar("T")

MAX_TEXT_LENGTH: Final = 1_000

log = logging.getLogger("herenow.demo")


class Conversation:
    def __init__(self, access: Access, channels: AsyncChannels) -> None:
        self._access = access
        self._channels = channels

    async def say(self, request: Request) -> Response:
        """``{"room":"presence-gaming","text":"hello"}``; the session says who speaks."""
        fields = await read_object(request)
        person = self._access.acting(request).person
        room = room_named(fields.get("room"))
        text = text_of(fields, "text", MAX_TEXT_LENGTH, "A message")
        said = message({"id": person.id, "name": person.name}, text)
        await published(
            self._channels.trigger(room.channel, "message", said),
            "The message could not be sent: the server does not answer. Try again.",
        )
        return Response(status_code=204)


def message(sender: dict[str, Any], text: str) -> dict[str, Any]:
    sent_at = int(time.time() * 1_000)
    return {"id": secrets.token_hex(8), "from": sender, "text": text, "sentAt": sent_at}


async def published(call: Awaitable[T], sentence: str) -> T:
    """What the server answers to *call*; *sentence* is for the person when it does not."""
    try:
        return await call
    except ChannelsError as error:
        log.warning("%s", error)
        raise Refusal(502, sentence) from error
