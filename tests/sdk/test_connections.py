"""How clients come by their connections, and give them back."""

from __future__ import annotations

import asyncio
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from conformance.harness.apps import App
from conformance.harness.server import running
from herenow import AsyncChannels, Channels, Unreachable
from sdk.callers import APP_ID, KEY, MASTER_KEY, SECRET, SOCKET_ID, Caller, Client
from sdk.recorder import Recorder
from server.certificates import make_certificate


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The HTTP clients that are made during the test."""
    made: list[object] = []
    for kind in (httpx2.Client, httpx2.AsyncClient):

        def make(*arguments: object, kind: type = kind, **options: object) -> object:
            made.append(kind(*arguments, **options))
            return made[-1]

        monkeypatch.setattr(httpx2, kind.__name__, make)
    return made


def test_what_only_computes_opens_nothing(opened: list[object], client: Client) -> None:
    made = client(APP_ID, KEY, SECRET, encryption_master_key_base64=MASTER_KEY)
    made.authorize_channel(SOCKET_ID, "private-encrypted-x")
    made.authenticate_user(SOCKET_ID, {"id": "emily"})
    assert not opened


def test_threads_share_a_client(opened: list[object], recorder: Recorder) -> None:
    with (
        Channels(APP_ID, KEY, SECRET, port=recorder.port) as channels,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = threads.map(lambda number: channels.trigger(f"c-{number}", "n", {}), range(24))
        assert list(answers) == [{}] * 24
    assert len(opened) == 1
    assert len(recorder.requests) == 24


def test_coroutines_share_a_client(opened: list[object], recorder: Recorder) -> None:
    async def publish() -> None:
        async with AsyncChannels(APP_ID, KEY, SECRET, port=recorder.port) as channels:
            await asyncio.gather(*(channels.trigger(f"c-{n}", "n", {}) for n in range(24)))

    asyncio.run(publish())
    assert len(opened) == 1
    assert len(recorder.requests) == 24


def test_a_closed_client_opens_again(opened: list[object], recorder: Recorder) -> None:
    channels = Channels(APP_ID, KEY, SECRET, port=recorder.port)
    channels.close()
    for _ in range(2):
        channels.trigger("news", "note", {})
        channels.close()
        channels.close()
    assert len(opened) == 2


def test_an_async_client_serves_one_loop_after_another(recorder: Recorder) -> None:
    channels = AsyncChannels(APP_ID, KEY, SECRET, port=recorder.port)

    async def publish() -> None:
        async with channels:
            await channels.trigger("news", "note", {})

    for _ in range(2):
        asyncio.run(publish())
    assert len(recorder.requests) == 2


def test_a_server_is_known_by_its_certificate(tmp_path: Path, client: Client) -> None:
    certificate, key = make_certificate(tmp_path)
    script = Path(sys.executable).with_name("herenow")
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    apps = {"main": App(APP_ID, KEY, SECRET)}
    context = ssl.create_default_context(cafile=certificate)
    with running([str(script), "serve"], tmp_path, apps, settings) as server:
        port = server.endpoint.port
        call = Caller(client, port=port, tls=True, tls_context=context)
        assert call("trigger", "news", "note", {}) == {}
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as failure:
            Caller(client, port=port, tls=True)("trigger", "news", "note", {})
        assert not failure.value.may_have_arrived
