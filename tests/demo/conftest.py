"""A chat with a server beside it, and people who use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from compat.serving import Server, running
from demo.serving import Chat, running_chat
from demo.visitor import Visitor


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    with (
        running(Server(tmp_path_factory.mktemp("server"))) as server,
        running_chat(server) as chat,
    ):
        yield chat


@pytest.fixture
def visit(chat: Chat) -> Iterator[Callable[[], Visitor]]:
    """Opens browsers of strangers."""
    visitors: list[Visitor] = []

    def open_browser() -> Visitor:
        visitors.append(Visitor(chat))
        return visitors[-1]

    yield open_browser
    for visitor in visitors:
        visitor.http.close()


@pytest.fixture
def stranger(visit: Callable[[], Visitor]) -> Visitor:
    return visit()


@pytest.fixture(scope="module")
def emily(chat: Chat) -> Iterator[Visitor]:
    yield from _signed_in(chat, "emily")


@pytest.fixture(scope="module")
def john(chat: Chat) -> Iterator[Visitor]:
    yield from _signed_in(chat, "john")


@pytest.fixture(scope="module")
def kenji(chat: Chat) -> Iterator[Visitor]:
    yield from _signed_in(chat, "kenji")


def _signed_in(chat: Chat, person: str) -> Iterator[Visitor]:
    visitor = Visitor(chat)
    with visitor.http:
        visitor.sign_in(person)
        yield visitor
