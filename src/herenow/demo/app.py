"""The web application: its routes, and its words for what goes wrong."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from herenow import AsyncChannels
from herenow.demo.access import Access
from herenow.demo.authorization import Authorization
from herenow.demo.bodies import Refusal
from herenow.demo.conversation import Conversation
from herenow.demo.entrance import Entrance
from herenow.demo.guard import Guard
from herenow.demo.moderation import Moderation
from herenow.demo.pages import STATIC, Pages


def make_app(
    channels: AsyncChannels, key: str, host: str, port: int, secret: bytes, static: Path = STATIC
) -> ASGIApp:
    """The chat for the application *key* at a server that browsers reach at *host* and *port*.

    *secret* signs the sessions.
    """
    access = Access(secret)
    entrance = Entrance(access, {"key": key, "host": host, "port": port})
    authorization = Authorization(access, channels)
    conversation = Conversation(access, channels)
    moderation = Moderation(access, channels)
    pages = Pages(static)

    app = Starlette(
        routes=[
            Route("/", pages.page),
            Route("/static/{name:path}", pages.static),
            Route("/session", entrance.show),
            Route("/sign-in", entrance.sign_in, methods=["POST"]),
            Route("/sign-out", entrance.sign_out, methods=["POST"]),
            Route("/pusher/user-auth", authorization.user, methods=["POST"]),
            Route("/pusher/auth", authorization.channel, methods=["POST"]),
            Route("/messages", conversation.say, methods=["POST"]),
            Route("/direct-messages", moderation.message, methods=["POST"]),
            Route("/removals", moderation.removals),
            Route("/remove", moderation.remove, methods=["POST"]),
            Route("/let-in", moderation.let_in, methods=["POST"]),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _not_here, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return Guard(app, f"{host}:{port}")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return PlainTextResponse(error.sentence, error.status, error.headers)


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {404: "There is nothing at this address.", 405: "This address is not for that."}
    sentence = sentences.get(error.status_code, "That did not work.")
    return PlainTextResponse(sentence, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return PlainTextResponse("That did not work.", 500)
