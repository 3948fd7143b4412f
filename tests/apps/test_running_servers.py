"""Applications that change while two servers run on their store, whatever it is."""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from functools import partial
from pathlib import Path

import pytest

from apps.live import (
    IN_FORCE_SECONDS,
    STATIC,
    Deployment,
    call,
    closed_with,
    configure,
    connect,
    deployed,
    established,
    in_force,
    run_apps,
    status,
)
from cluster.servers import Valkey
from herenow.apps.base import App
from herenow.store.sealing import new_key
from server.client import Client
from store.places import Place

pytestmark = pytest.mark.anyio


async def has_status(port: int, app: App, expected: int) -> bool:
    return await status(port, app) == expected


async def everywhere(deployment: Deployment, app: App, expected: int, changed: float) -> None:
    """Both servers answer the calls of *app* so within two seconds."""
    for port in deployment.ports:
        await in_force(partial(has_status, port, app, expected), changed)


async def clients_of(deployment: Deployment, app: App) -> list[Client]:
    return [await established(port, app) for port in deployment.ports]


async def all_closed(clients: list[Client], code: int, changed: float) -> None:
    for client in clients:
        assert await closed_with(client) == code
    assert time.monotonic() < changed + IN_FORCE_SECONDS


async def test_every_change_is_in_force_on_two_servers_within_two_seconds(
    place: Place, tmp_path: Path
) -> None:
    """Made, rotated, withdrawn, disabled, enabled, deleted; who is still allowed stays."""
    configure(tmp_path, place.url, [new_key()])
    async with deployed(tmp_path) as deployment:
        app = deployment.create("--set", "client_events=true")
        changed = time.monotonic()
        await everywhere(deployment, app, 200, changed)
        old = await clients_of(deployment, app)

        rotated = deployment.rotate(app)
        changed = time.monotonic()
        await everywhere(deployment, rotated, 200, changed)
        await everywhere(deployment, app, 200, changed)
        new = await clients_of(deployment, rotated)
        for client in (*old, *new):
            await client.expect_nothing()

        deployment.apps("rotate", app.id, "--finish")
        changed = time.monotonic()
        await all_closed(old, 4001, changed)
        await everywhere(deployment, app, 401, changed)
        await everywhere(deployment, rotated, 200, changed)
        refused = await connect(deployment.ports[0], app)
        assert await closed_with(refused) == 4001
        for client in new:
            await client.expect_nothing()

        deployment.apps("disable", app.id)
        changed = time.monotonic()
        await all_closed(new, 4003, changed)
        await everywhere(deployment, rotated, 403, changed)

        deployment.apps("enable", app.id)
        await everywhere(deployment, rotated, 200, time.monotonic())
        again = await clients_of(deployment, rotated)

        deployment.apps("set", app.id, "tls_only=true")
        changed = time.monotonic()
        await all_closed(again, 4000, changed)

        deployment.apps("set", app.id, "tls_only=false")
        await asyncio.gather(
            *(
                in_force(partial(is_let_in, port, rotated), time.monotonic())
                for port in deployment.ports
            )
        )
        last = await clients_of(deployment, rotated)
        deployment.apps("delete", app.id, "--yes")
        changed = time.monotonic()
        await all_closed(last, 4001, changed)
        await everywhere(deployment, rotated, 401, changed)


async def is_let_in(port: int, app: App) -> bool:
    client = await connect(port, app)
    first = await client.receive()
    client.close()
    return getattr(first, "event", "") == "pusher:connection_established"


async def test_a_second_rotation_withdraws_the_oldest_pair(place: Place, tmp_path: Path) -> None:
    """At most two are live."""
    configure(tmp_path, place.url, [new_key()])
    async with deployed(tmp_path, servers=1) as deployment:
        first = deployment.create()
        second = deployment.rotate(first)
        third = deployment.rotate(first)
        changed = time.monotonic()
        await everywhere(deployment, third, 200, changed)
        await everywhere(deployment, second, 200, changed)
        await everywhere(deployment, first, 401, changed)


async def test_what_is_known_is_served_while_the_database_server_is_away(
    served_place: Place, tmp_path: Path
) -> None:
    """And changes arrive after it came back; its password stands in no log."""
    assert served_place.server is not None
    configure(tmp_path, served_place.url, [new_key()])
    async with deployed(tmp_path) as deployment:
        app = deployment.create()
        await everywhere(deployment, app, 200, time.monotonic())
        clients = await clients_of(deployment, app)
        served_place.server.stop()
        try:
            deadline = time.monotonic() + 30
            while deployment.log().count("what is known stays") < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            refused = deployment.apps("list", code=1)
            assert refused == ""
            for client in clients:
                await client.expect_nothing()
            for port in deployment.ports:
                assert await status(port, app) == 200
        finally:
            served_place.server.start()
        deployment.apps("disable", app.id)
        changed = time.monotonic()
        await all_closed(clients, 4003, changed)


async def test_a_server_that_starts_without_its_store_sends_nobody_away_for_good(
    served_place: Place, tmp_path: Path
) -> None:
    """Who is not known is told to come back, and is let in when the store is there."""
    assert served_place.server is not None
    configure(tmp_path, served_place.url, [new_key()])
    async with deployed(tmp_path, servers=1) as first:
        app = first.create()
    served_place.server.stop()
    try:
        async with deployed(tmp_path, servers=1) as deployment:
            port = deployment.ports[0]
            waiting = await connect(port, app)
            assert await closed_with(waiting) == 4100
            answer = await call(port, app)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            served_place.server.start()
            back = time.monotonic() + 10
            while not await is_let_in(port, app):
                assert time.monotonic() < back
                await asyncio.sleep(0.05)
    finally:
        served_place.server.stop()
        served_place.server.start()


async def test_a_server_without_a_store_makes_no_file(tmp_path: Path) -> None:
    """Until the first application is made by the command line; then it is served."""
    configure(tmp_path, "sqlite:///herenow.db", [new_key()])
    async with deployed(tmp_path, servers=1) as deployment:
        assert modes_of_files(tmp_path) == {}
        app = deployment.create()
        await everywhere(deployment, app, 200, time.monotonic())
        modes = modes_of_files(tmp_path)
        assert "herenow.db" in modes
        assert set(modes.values()) == {0o600}


def modes_of_files(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.glob("herenow.db*")}


async def test_an_application_whose_key_was_lost_is_not_served_until_it_is_rotated(
    tmp_path: Path,
) -> None:
    """The log says so once and names the fix."""
    configure(tmp_path, "sqlite:///herenow.db", [new_key()])
    async with deployed(tmp_path, servers=1) as deployment:
        app = deployment.create()
    configure(tmp_path, "sqlite:///herenow.db", [new_key()])
    async with deployed(tmp_path, servers=1) as deployment:
        assert await status(deployment.ports[0], app) == 401
        deployment.apps("rotate", app.id, code=2)
        assert await status(deployment.ports[0], app) == 401
        log = deployment.log()
        assert log.count(f"herenow apps rotate {app.id}") == 1
        deployment.apps("rotate", app.id, "--yes", "--json")
        rotated = deployment.rotate(app)
        await everywhere(deployment, rotated, 200, time.monotonic())


async def test_an_application_of_the_configuration_wins(tmp_path: Path) -> None:
    """One of the store with its id is not served, and the log says so."""
    configure(tmp_path, "sqlite:///herenow.db", [new_key()], more=STATIC)
    async with deployed(tmp_path, servers=1) as deployment:
        assert "stands in the configuration" in run_error(deployment, "create", "--id", "7")
        configure(tmp_path, "sqlite:///herenow.db", keys_of(tmp_path), more="")
        app = deployment.create("--id", "7")
        deadline = time.monotonic() + 10
        while "application 7 of the store is not served" not in deployment.log():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert await status(deployment.ports[0], app) == 401


@pytest.mark.parametrize("hooked", [False, True], ids=["without webhooks", "with webhooks"])
async def test_a_shared_engine_keeps_transitions_only_of_applications_with_webhooks(
    tmp_path: Path, hooked: bool
) -> None:
    """Nobody would read those of the others, so they would fill it."""
    valkey = Valkey(tmp_path / "valkey").start()
    try:
        shared = f"[cluster]\nurl = {json.dumps(valkey.url)}\n"
        configure(tmp_path, "sqlite:///herenow.db", [new_key()], more=shared)
        async with deployed(tmp_path, servers=1) as deployment:
            hooks = '[{url="http://127.0.0.1:9/",events=["member_added"]}]'
            app = deployment.create(*(("--set", f"webhooks={hooks}") if hooked else ()))
            (port,) = deployment.ports
            await in_force(partial(has_status, port, app, 200), time.monotonic())
            client = await established(port, app)
            await client.enter("presence-room", "anna")
            client.close()
            written = await eventually_kept(valkey) if hooked else kept(valkey)
            assert bool(written) is hooked
    finally:
        valkey.kill()


def kept(valkey: Valkey) -> list[bytes]:
    """The streams in which transitions wait for whoever delivers webhooks, and what was read."""
    with valkey.client() as client:
        return [key for pattern in ("*:out", "*:w:told:*") for key in client.scan_iter(pattern)]


async def eventually_kept(valkey: Valkey) -> list[bytes]:
    deadline = time.monotonic() + 10
    while not (written := kept(valkey)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return written


def keys_of(directory: Path) -> list[str]:
    keys: list[str] = tomllib.loads((directory / "herenow.toml").read_text())["store"]["secret_key"]
    return keys


def run_error(deployment: Deployment, *arguments: str) -> str:
    done = run_apps(deployment.directory, *arguments)
    assert done.returncode == 1
    return done.stderr
