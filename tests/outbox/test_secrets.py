"""Marked secrets of every kind, and a search for them in all that a deployment says and writes."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from cluster.servers import Valkey, free_port
from conformance.harness.api import Api
from conformance.harness.apps import App
from conformance.harness.signing import Parameters
from faults.client import Client
from faults.clients import Clients, until
from faults.deployment import SERVE, Deployment, Node, Setup, environment
from outbox.account import TRANSITIONS, VOLATILE
from outbox.endpoints import SETTINGS
from outbox.marks import Leak, Marks
from outbox.receiver import HOST, Outcome, Receiver
from outbox.times import ALONE, SHARED, WEBHOOKS

HERENOW: Final = str(Path(sys.executable).with_name("herenow"))
STATIC: Final = App("51", "marked-static-key", "Marked/static+secret%\"'é")
FOREIGN: Final = App("51", STATIC.key, "Marked/foreign+secret%é")
ADMIN_PASSWORD: Final = "Marked/admin+pässword%"
ENGINE_PASSWORD: Final = "Marked/engine+password%@"
STORE_PASSWORD: Final = "Marked/store+password%@"
TOKEN: Final = "Bearer Marked/header+token%=="
QUERY: Final = "Marked/query+token%"
STORE_KEY: Final = os.urandom(32)
DENIED: Final = "127.0.0.2"
SIGNED: Final = "signature of"
SIGNATURE: Final = re.compile(r"\b[0-9a-f]{64}\b")
KEY: Final = re.compile(r"PUSHER_APP_KEY=([0-9a-f]{20})\b")
STORED: Final = "52"
SECRET: Final = re.compile(r"\b[0-9a-f]{40}\b")
ADMIN_PATHS: Final = (
    "/",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/api/apps",
    "/api/apps/51/stats",
    "/api/apps/51/connections",
    "/api/apps/51/channels",
    "/api/apps/51/channels/presence-room/members",
    "/api/apps/none/stats",
    f"/%1b{quote(QUERY, safe='')[:4]}",
)


class Said:
    """All that was said anywhere, and the secrets that must not be in it."""

    def __init__(self) -> None:
        self.marks = Marks(
            {
                "static app": STATIC.secret,
                "foreign secret": FOREIGN.secret,
                "admin password": ADMIN_PASSWORD,
                "engine password": ENGINE_PASSWORD,
                "store password": STORE_PASSWORD,
                "header of a webhook": TOKEN.removeprefix("Bearer "),
                "query of a webhook": QUERY,
                "store key": base64.b64encode(STORE_KEY),
                "store key, decoded": STORE_KEY,
            }
        )
        self._said: list[tuple[str, bytes]] = []
        self._answered: list[tuple[str, bytes]] = []

    def add(self, place: str, content: str | bytes) -> None:
        self._said.append((place, content.encode() if isinstance(content, str) else content))

    def answer(self, place: str, content: str | bytes) -> None:
        """An answer to whoever signed: it may repeat a signature that was wrong."""
        self._answered.append((place, content.encode() if isinstance(content, str) else content))

    def leaks(self, files: Sequence[Path]) -> list[Leak]:
        said = [leak for place, content in self._said for leak in self.marks.leaks(place, content)]
        answered = [
            leak
            for place, content in self._answered
            for leak in self.marks.leaks(place, content)
            if not leak.name.startswith(SIGNED)
        ]
        return [*said, *answered, *self.marks.leaks_of_files(files)]

    @property
    def size(self) -> int:
        return sum(len(content) for _, content in [*self._said, *self._answered])


class SigningApi(Api):
    """The API as a backend uses it; what it signs is a secret from then on."""

    def __init__(self, node: Node, app: App, said: Said) -> None:
        super().__init__(node.endpoint, app)
        self._said = said

    def signature(self, method: str, path: str, parameters: Parameters) -> str:
        signature = super().signature(method, path, parameters)
        self._said.marks.add(f"{SIGNED} {method} {path}", signature)
        return signature

    def ask(self, method: str, path: str, query: Parameters | str, body: bytes = b"") -> None:
        answer = self.send(method, path, query, body)
        self._said.add(f"{method} {path}: {answer.status}", repr(answer.headers).encode())
        self._said.answer(f"{method} {path}: {answer.status}", answer.body)


class Operator:
    """The command line, in the directory of the server."""

    def __init__(self, directory: Path, config: Path, said: Said) -> None:
        self._directory = directory
        self._config = config
        self._said = said

    def ends(self, *arguments: str) -> int:
        """The code with which it ends; what it says is kept."""
        done = self._run(*arguments)
        self._said.add(" ".join(arguments), done.stdout + done.stderr)
        return done.returncode

    def run(self, *arguments: str, code: int | None = None) -> str:
        """What it says, which is kept; *code* is how it must end."""
        done = self._run(*arguments)
        self._said.add(" ".join(arguments), done.stdout + done.stderr)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def make(self, *arguments: str) -> App:
        """The app that it prints, with the one secret that is shown, and here only."""
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr
        self._said.add(" ".join(arguments), done.stderr)
        (secret,) = set(SECRET.findall(done.stdout))
        (key,) = set(KEY.findall(done.stdout))
        self._said.marks.add(" ".join(arguments[:2]), secret)
        return App(STORED, key, secret)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HERENOW, *arguments, "--config", str(self._config)],
            cwd=self._directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def configured(receiver: Receiver) -> App:
    """The app of the configuration: endpoints that work, fail, are not there and are denied."""
    urls = (
        receiver.url(f"/works?token={quote(QUERY, safe='')}"),
        receiver.url(f"/fails?token={quote(QUERY, safe='')}"),
        f"http://{HOST}:1/refused?token={quote(QUERY, safe='')}",
        f"http://{DENIED}:{receiver.port}/denied?token={quote(QUERY, safe='')}",
    )
    webhooks = [
        {"url": url, "events": [*TRANSITIONS, *VOLATILE], "headers": {"Authorization": TOKEN}}
        for url in urls
    ]
    return App(STATIC.id, STATIC.key, STATIC.secret, {**SETTINGS, "webhooks": webhooks})


def choose(path: str, body: bytes) -> Outcome:
    return Outcome.REFUSED if path.startswith("/fails") else Outcome.ACCEPTED


def setup_of(receiver: Receiver, cluster: dict[str, object], log_format: str) -> Setup:
    """Everything that a server can say is on."""
    key = base64.b64encode(STORE_KEY).decode()
    return Setup(
        {"static": configured(receiver)},
        cluster,
        command=(*SERVE, "--log-format", log_format),
        environment={"PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"},
        sections={
            "admin": {"password": ADMIN_PASSWORD},
            "store": {"secret_key": key},
            "webhooks": {**WEBHOOKS, "deny_networks": [f"{DENIED}/32"]},
        },
    )


async def visit(clients: Clients, node: Node, said: Said) -> None:
    """Clients that do all right, and all wrong."""
    page = await clients.join(node, STATIC, "ada", "presence-room", "private-room", "news")
    await page.sign_in()
    await page.trigger("private-room", "client-typing", "{}")
    await clients.join(node, STATIC, "bob", "cache-room", "presence-room")
    intruder = clients.new(node, FOREIGN, "eve")
    intruder.may_be_refused = True
    await intruder.connect()
    await intruder.ask("private-room", "presence-room")
    await intruder.ask_to_sign_in()
    await intruder.trigger("private-room", "client-typing", "{}")
    await until(lambda: len(intruder.stream.refusals) > 1, "the intruder is refused")
    await page.unsubscribe("private-room")
    await page.ping()
    for client in (page, intruder):
        _hear(client, said)


def _hear(client: Client, said: Said) -> None:
    """Take what was signed for secret, and keep what came back."""
    for line in client.trace:
        if " > " in line:
            for signature in SIGNATURE.findall(line):
                said.marks.add(f"{SIGNED} {client.user}", signature)
        else:
            said.answer(f"frame to {client.user}", line)


def call(node: Node, said: Said) -> None:
    """Calls of the API that are right, and all kinds of wrong."""
    for app in (STATIC, FOREIGN):
        api = SigningApi(node, app, said)
        event = json.dumps({"name": "tick", "channel": "news", "data": "{}"}).encode()
        for method, rest, body in (
            ("GET", "channels", b""),
            ("GET", "channels/presence-room/users", b""),
            ("GET", "users/ada", b""),
            ("GET", "webhooks", b""),
            ("GET", "webhooks/none", b""),
            ("POST", "webhooks/reconcile", b"{}"),
            ("POST", "users/status", b'{"ids":["ada"]}'),
            ("POST", "users/status", b'{"ids":'),
            ("POST", "events", event),
            ("POST", "events", b"{not json"),
            ("POST", "nowhere", b"{}"),
        ):
            path = api.path(rest)
            signed = api.sign(method, path, [], body)
            api.ask(method, path, signed, body)
            api.ask(method, path, api.sign(method, path, [], body, timestamp=1), body)
            api.ask(method, path, [*signed[:-1], ("auth_signature", signed[-1][1] * 2)], body)
            api.ask(method, f"/apps/none/{rest}", signed, body)
        api.close()


def look(node: Node, said: Said) -> None:
    """Read all of the admin port, with the password, with a wrong one and without."""
    admin = node.admin_endpoint
    for password in (ADMIN_PASSWORD, ADMIN_PASSWORD[:-1], ""):
        coded = base64.b64encode(f"admin:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {coded}"} if password else {}
        for path in ADMIN_PATHS:
            connection = http.client.HTTPConnection(admin.host, admin.port, timeout=20)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            said.add(f"admin {path}: {answer.status}", repr(answer.getheaders()))
            said.add(f"admin {path}: {answer.status}", answer.read())
            connection.close()


def make_app(operator: Operator, receiver: Receiver, directory: Path) -> App:
    """An app of the store, with the key pair that it was given last."""
    settings = directory / "stored.toml"
    settings.write_text(
        f"""
        [[webhooks]]
        url = {json.dumps(receiver.url(f"/stored?token={quote(QUERY, safe='')}"))}
        events = ["channel_occupied"]
        headers = {{ Authorization = {json.dumps(TOKEN)} }}
        """
    )
    first = operator.make("apps", "create", "--id", STORED, "--settings", str(settings))
    second = operator.make("apps", "rotate", STORED)
    assert (first.key, first.secret) != (second.key, second.secret)
    return second


def operate(operator: Operator, server: str) -> None:
    """Use every command, rightly and wrongly."""
    for arguments in (
        ("apps", "list"),
        ("apps", "show", STORED),
        ("apps", "set", STORED, "client_events=true"),
        ("apps", "set", STORED, "headers={ Authorization = 1 }"),
        ("apps", "create", "--id", STORED),
        ("apps", "disable", STORED),
        ("apps", "enable", STORED),
        ("apps", "rotate", STORED, "--finish"),
        ("apps", "reseal"),
        ("apps", "show", "53"),
    ):
        operator.run(*arguments)
    for app in (STATIC.id, STORED, "none"):
        operator.run("webhooks", "reconcile", "--app", app, "--server", server)
    operator.run("webhooks", "list", "--app", STATIC.id, "--server", server)
    listed = operator.run("webhooks", "list", "--app", STATIC.id, "--server", server, "--json")
    failing = json.loads(listed)["endpoints"][1]
    at = (failing["id"], "--app", STATIC.id, "--server", server)
    operator.run("webhooks", "show", *at, code=0)
    operator.run("webhooks", "retry", *at)
    operator.run("webhooks", "drop", "--all", *at)


def _is_served(node: Node, app: App) -> bool:
    with node.api(app) as api:
        return api.get("channels").status == 200


async def live(deployment: Deployment, clients: Clients, receiver: Receiver, said: Said) -> None:
    """Everything that goes on in a deployment, right and wrong, up to a crash of each node."""
    node = deployment.serving[0]
    for each in deployment.serving:
        await visit(clients, each, said)
    await until(lambda: len(receiver.requests) > 3, "webhooks arrive")
    await asyncio.to_thread(call, node, said)
    operator = Operator(deployment.directory, node.config, said)
    stored = await asyncio.to_thread(make_app, operator, receiver, deployment.directory.parent)
    last = deployment.serving[-1]
    await until(lambda: _is_served(last, stored), "the stored app is served", 2)
    await clients.join(last, stored, "cyd", "stored-room")
    await until(
        lambda: any(request.path.startswith("/stored") for request in receiver.requests),
        "webhooks of the stored app arrive",
    )
    await asyncio.to_thread(operator.run, "presence", "audit")
    if len(deployment.serving) == 1:
        await asyncio.to_thread(operate, operator, f"http://{node.endpoint.authority}")
    await asyncio.to_thread(operator.run, "apps", "delete", STORED, "--yes", code=0)
    for each in deployment.serving:
        await asyncio.to_thread(look, each, said)
    for client in clients.all:
        client.wanted = False
    for each in deployment.serving:
        each.send_signal(signal.SIGABRT)
        each.wait()
        assert "Fatal Python error: Aborted" in each.log.read_text(errors="replace"), "no dump"
        assert each.log.stat().st_size > 1_000


def assert_nothing_leaked(said: Said, receiver: Receiver, directory: Path, *files: str) -> None:
    """None of the secrets is in what was said or in any file, some of which there must be."""
    for request in receiver.requests:
        said.add("body of a webhook", request.body)
    written = [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".toml"]
    searched = [path for path in written if path.name != "valkey.conf"]
    for name in files:
        assert any(path.match(name) and path.stat().st_size for path in searched), name
    assert said.size > 50_000, "little was said"
    leaks = said.leaks(searched)
    assert not leaks, "\n".join(map(str, leaks))


@pytest.mark.anyio
async def test_no_secret_is_said_or_written_by_a_server_alone(
    tmp_path: Path, clients: Clients
) -> None:
    """Not in logs, answers, pages, metrics, frames, bodies, the database, nor after a crash."""
    said = Said()
    with Receiver(choose) as receiver:
        setup = setup_of(receiver, dict(ALONE), "text")
        with Deployment(tmp_path / "nodes", setup, "memory://", count=1) as deployment:
            await live(deployment, clients, receiver, said)
        assert_nothing_leaked(said, receiver, tmp_path, "*.log", "*.db")


@pytest.mark.anyio
async def test_no_secret_is_said_or_written_by_nodes_that_share_an_engine(
    tmp_path: Path, clients: Clients
) -> None:
    """Nor in what the engine keeps, logs and writes to the disk."""
    said = Said()
    lines = (f"requirepass {json.dumps(ENGINE_PASSWORD)}", "rdbcompression no")
    valkey = Valkey(tmp_path / "valkey", *lines)
    valkey.password = ENGINE_PASSWORD
    valkey.start()
    url = f"redis://:{quote(ENGINE_PASSWORD, safe='')}@{valkey.address}/0"
    try:
        with Receiver(choose) as receiver:
            setup = setup_of(receiver, dict(SHARED), "json")
            with Deployment(tmp_path / "nodes", setup, url, count=2) as deployment:
                await live(deployment, clients, receiver, said)
            valkey.save()
            valkey.kill()
            assert_nothing_leaked(said, receiver, tmp_path, "*.log", "*.db", "dump.rdb")
    finally:
        valkey.kill()


def test_no_secret_is_said_by_a_server_that_does_not_start(tmp_path: Path) -> None:
    """Engines and stores that do not answer or refuse, and settings that are wrong."""
    said = Said()
    password = quote(STORE_PASSWORD, safe="")
    engine = quote(ENGINE_PASSWORD, safe="")
    nowhere = f"{HOST}:{free_port()}"
    key = base64.b64encode(STORE_KEY).decode()
    wrong: dict[str, dict[str, dict[str, object]]] = {
        "engine-away": {"cluster": {"url": f"redis://:{engine}@{nowhere}", "connect_seconds": 0.5}},
        "engine-url": {"cluster": {"url": f"rediss://:{engine}@{nowhere}/a/b"}},
        "scheme": {"cluster": {"url": f"amqp://:{engine}@{nowhere}"}},
        "key": {"store": {"secret_key": f"{key}{key}"}},
        "store-scheme": {"store": {"url": f"oracle://u:{password}@{nowhere}/x"}},
        "password": {"admin": {"password": [ADMIN_PASSWORD]}},
        "secret": {"apps": {"secret": STATIC.secret}},
    }
    for name, sections in wrong.items():
        config = tmp_path / f"{name}.toml"
        lines = [
            line
            for section, settings in sections.items()
            for line in (
                f"[{section}]",
                *(f"{setting} = {json.dumps(value)}" for setting, value in settings.items()),
            )
        ]
        config.write_text("\n".join([*lines, ""]))
        operator = Operator(tmp_path, config, said)
        assert operator.ends("serve", "--port", "0", "--admin-port", "0") in (1, 2), name
    for scheme in ("postgresql", "mysql"):
        config = tmp_path / f"{scheme}.toml"
        url = f"{scheme}://u:{password}@{nowhere}/herenow"
        config.write_text(f"[store]\nurl = {json.dumps(url)}\nsecret_key = {json.dumps(key)}\n")
        assert Operator(tmp_path, config, said).ends("apps", "list") == 1, scheme
    assert said.size > 500
    assert not said.leaks([])
