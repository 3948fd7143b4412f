"""What the backend of ``examples/node-chat`` signs, publishes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

import pytest

from browser.program import Program, running_node_chat
from compat.serving import Server, running

SOCKET_ID = "81234.5678901"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    text: str


class Visitor:
    """A client of the backend with one person's session."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.headers: dict[str, str] = {}
        self._connection = HTTPConnection(self.address, timeout=10)

    def post(self, path: str, body: str, kind: str, **headers: str) -> Response:
        sent = {"Content-Type": kind, **self.headers, **headers}
        self._connection.request("POST", path, body.encode(), sent)
        response = self._connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, fields, response.read().decode())

    def post_json(self, path: str, content: object, **headers: str) -> Response:
        return self.post(path, json.dumps(content), "application/json", **headers)

    def post_form(self, path: str, **fields: str) -> Response:
        return self.post(path, urlencode(fields), "application/x-www-form-urlencoded")

    def authorize(self, channel: str, socket_id: str = SOCKET_ID) -> Response:
        return self.post_form("/pusher/auth", socket_id=socket_id, channel_name=channel)

    def sign_in(self, person: str) -> None:
        response = self.post_json("/session", {"person": person})
        assert response.status == 204
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        self.headers["Cookie"] = cookie.split(";")[0]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    directory = tmp_path_factory.mktemp("server")
    with running(Server(directory)) as server, running_node_chat(server) as program:
        yield program


@pytest.fixture
def stranger(backend: Program) -> Iterator[Visitor]:
    visitor = Visitor(backend.url)
    yield visitor
    visitor.close()


@pytest.fixture
def emily(backend: Program) -> Iterator[Visitor]:
    visitor = Visitor(backend.url)
    visitor.sign_in("emily")
    yield visitor
    visitor.close()


def test_a_hobby_room_gets_a_signature_and_nothing_else(emily: Visitor) -> None:
    response = emily.authorize("presence-gaming")
    assert response.status == 200
    assert json.loads(response.text).keys() == {"auth"}


def test_a_business_room_gets_its_own_picture_of_the_person(emily: Visitor) -> None:
    answer = json.loads(emily.authorize("presence-business-sales").text)
    assert json.loads(answer["channel_data"]) == {
        "user_id": "emily",
        "user_info": {"name": "Emily", "colour": "violet", "admin": True},
    }
    emily.sign_in("john")
    answer = json.loads(emily.authorize("presence-business-sales").text)
    assert json.loads(answer["channel_data"])["user_info"]["admin"] is False


def test_the_user_is_the_one_of_the_session(emily: Visitor) -> None:
    response = emily.post_form("/pusher/user-auth", socket_id=SOCKET_ID, id="john")
    user = json.loads(json.loads(response.text)["user_data"])
    assert user == {"id": "emily", "user_info": {"name": "Emily", "colour": "violet"}}


def test_nothing_is_signed_without_a_session(stranger: Visitor) -> None:
    assert stranger.authorize("presence-gaming").status == 401
    assert stranger.post_form("/pusher/user-auth", socket_id=SOCKET_ID).status == 401
    message = {"room": "presence-gaming", "text": "hello"}
    assert stranger.post_json("/messages", message).status == 401


def test_a_session_cannot_be_made_up(emily: Visitor) -> None:
    emily.headers["Cookie"] = emily.headers["Cookie"].replace("emily", "john")
    assert emily.authorize("presence-gaming").status == 401
    emily.headers["Cookie"] = "node-chat-session=emily.9999999999999."
    assert emily.authorize("presence-gaming").status == 401


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "presence-other",
        "presence-gaming\n",
        " presence-gaming",
        "private-x",
        "#server-to-user-x",
    ],
)
def test_only_the_rooms_are_signed(emily: Visitor, channel: str) -> None:
    assert emily.authorize(channel).status == 403


@pytest.mark.parametrize("socket_id", ["", "1", "1.2\n", "1.2:presence-gaming", "a.b", "1.2.3"])
def test_only_socket_ids_are_signed(emily: Visitor, socket_id: str) -> None:
    assert emily.authorize("presence-gaming", socket_id).status == 400
    assert emily.post_form("/pusher/user-auth", socket_id=socket_id).status == 400


def test_other_origins_are_refused(emily: Visitor) -> None:
    message = {"room": "presence-gaming", "text": "hello"}
    assert emily.post_json("/messages", message, Origin="http://127.0.0.1:1").status == 403
    assert emily.post_json("/messages", message, Origin="null").status == 403
    own = f"http://{emily.address}"
    assert emily.post_json("/messages", message, Origin=own).status == 204


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001, 1, None, ["x"]])
def test_messages_are_bounded(emily: Visitor, text: object) -> None:
    assert emily.post_json("/messages", {"room": "presence-gaming", "text": text}).status == 400


def test_the_longest_message_fits(emily: Visitor) -> None:
    for text in ("€" * 1000, "\x01" * 1000):
        assert emily.post_json("/messages", {"room": "presence-gaming", "text": text}).status == 204


def test_large_and_broken_requests_are_refused(emily: Visitor) -> None:
    message = {"room": "presence-gaming", "text": "x" * 20_000}
    assert emily.post_json("/messages", message).status == 413
    assert emily.post("/messages", "{", "application/json").status == 400
    assert emily.post_json("/messages", None).status == 400


def test_the_policy_forbids_inline_code(stranger: Visitor) -> None:
    policy = stranger.post_json("/session", {"person": "nobody"}).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
