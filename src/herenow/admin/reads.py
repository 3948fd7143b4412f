"""The JSON reads: which applications there are, who is connected, who is a member.

Members and counts are the ledger's, so they say what everybody else is told. ``since`` is in
seconds since 1970, with three decimals. Lists are in the order of their ids or names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from herenow.admin.paging import Page
from herenow.apps.base import App
from herenow.cluster.base import Done, Member, Refusal, Subject, SubjectKind
from herenow.protocol.names import channel_kind
from herenow.server.connection import Connection
from herenow.server.node import Node

T = TypeVar("T")


class UnknownApp(Exception):
    """There is no application with that id."""


class Unavailable(Exception):
    """The engine does not answer."""


class Reads:
    """Answers questions about a node's applications. Unknown ones raise ``UnknownApp``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ledger = node.ledger

    async def apps(self, request: Request) -> Response:
        """``{"apps":[{"id","enabled"}],"complete":true}``"""
        apps = {app.id: app for app in self._node.apps.all()}
        page, more = Page.asked_for(request).of(apps)
        return _json("apps", [{"id": name, "enabled": apps[name].enabled} for name in page], more)

    async def stats(self, request: Request) -> Response:
        """``{"connections":n,"channels":n,"users":n,"members":n,"complete":true}``"""
        totals = await answer_of(partial(self._ledger.totals, self._app(request).id))
        return json_response(totals._asdict())

    async def connections(self, request: Request) -> Response:
        """``{"connections":[{…}],"complete":true}``, see :func:`_connection`."""
        connections = self._node.hub(self._app(request)).connections
        page, more = Page.asked_for(request).of(connections)
        return _json("connections", [_connection(connections[name]) for name in page], more)

    async def channels(self, request: Request) -> Response:
        """``{"channels":[{"name","occupied","subscriptions","users"}],"complete":true}``

        With ``prefix`` only those whose names start so.
        """
        app, page = self._app(request), Page.asked_for(request)
        prefix = request.query_params.get("prefix", "")
        answer = await answer_of(partial(self._ledger.channels, app.id, prefix))
        names, more = page.of(answer.states)
        listed = []
        for name in names:
            state = answer.states[name]
            listed.append(
                {
                    "name": name,
                    "occupied": state.occupied,
                    "subscriptions": state.subscriptions,
                    "users": state.users,
                }
            )
        return _json("channels", listed, more, complete=answer.complete)

    async def members(self, request: Request) -> Response:
        """``{"members":[{"id","info","connections":n,"since"}],"revision":n,"complete":true}``

        ``connections`` is 0 while a member whose last connection was lost may come back.
        """
        app, page = self._app(request), Page.asked_for(request)
        name = request.path_params["channel"]
        if not channel_kind(name).presence:
            raise HTTPException(400, "Only a presence channel has members: presence-…\n")
        subject = Subject(app.id, SubjectKind.PRESENCE, name)
        roster = await answer_of(partial(self._ledger.roster, subject))
        members = {member.user: member for member in roster.members}
        names, more = page.of(members)
        listed = [_member(members[user]) for user in names]
        return _json("members", listed, more, revision=roster.revision, complete=roster.complete)

    def _app(self, request: Request) -> App:
        app_id = request.path_params["app"]
        app = self._node.apps.by_id(app_id)
        if app is None:
            raise UnknownApp(app_id)
        return app


async def unknown_app(request: Request, error: Exception) -> Response:
    return json_response({"error": f"unknown app: {error}"}, 404)


async def unavailable(request: Request, error: Exception) -> Response:
    answer = json_response({"error": "the cluster's engine does not answer"}, 503)
    answer.headers["Retry-After"] = "1"
    return answer


async def answer_of(ask: Callable[[Done[T | Refusal]], None]) -> T:
    """What *ask* is told, now or later; raises :class:`Unavailable` if the engine is away."""
    answer: asyncio.Future[T | Refusal] = asyncio.get_running_loop().create_future()

    def done(value: T | Refusal) -> None:
        if not answer.done():
            answer.set_result(value)

    ask(done)
    answered = await answer
    if isinstance(answered, Refusal):
        raise Unavailable
    return answered


def _connection(connection: Connection) -> dict[str, Any]:
    """``{"socket_id","user_id","channels":[…],"address","client","since"}``

    ``user_id`` is null until the connection has signed in.
    """
    session = connection.session
    return {
        "socket_id": session.socket_id,
        "user_id": session.user.id if session.user is not None else None,
        "channels": list(session.subscriptions),
        "address": connection.peer.address,
        "client": connection.client,
        "since": round(connection.since, 3),
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "id": member.user,
        "info": msgspec.Raw(member.info),
        "connections": member.connections,
        "since": round(member.since, 3),
    }


def _json(
    name: str,
    listed: list[dict[str, Any]],
    more: dict[str, str],
    complete: bool = True,
    **rest: Any,
) -> Response:
    return json_response({name: listed, **rest, "complete": complete, **more})


def json_response(answer: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")
