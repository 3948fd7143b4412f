"""Who may use the engine: users, passwords, what they may touch, and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.redis.recording import answer, listen, new_engine, publish, running, until
from cluster.servers import TLS, Valkey, redis_binary
from herenow.cluster.redis.audit import audit
from herenow.cluster.redis.deployment import EngineUnreachable
from server.certificates import make_certificate

pytestmark = pytest.mark.anyio

REDIS = redis_binary()


@pytest.fixture
def guarded(valkey: Valkey) -> Valkey:
    """A server where ``node`` may touch what begins with ``herenow``, and nobody else anything."""
    valkey.command(
        *("ACL", "SETUSER", "node", "on", ">pass word", "~herenow:*", "&herenow*", "+@all")
    )
    valkey.command("ACL", "SETUSER", "default", "off")
    valkey.user, valkey.password = "node", "pass word"
    return valkey


async def test_a_user_who_may_touch_the_prefix_only_can_do_everything(guarded: Valkey) -> None:
    async with running(f"redis://node:pass%20word@{guarded.address}/3") as engine:
        subscriber = await listen(engine, 3, "b:x")
        assert await publish(engine, 3, "x", "hello")
        await until(lambda: subscriber.messages == [b"hello"])
        hello = await answer(engine, "hello", 3, "id", 1, 0, 1, "")
        assert hello is not None
    assert (await audit(f"redis://node:pass%20word@{guarded.address}/3", "herenow", 8)).is_clean


@pytest.mark.parametrize(
    ("prefix", "credentials", "reason"),
    [
        ("herenow", "node:wrong", "it answered WRONGPASS"),
        ("herenow", "", "it answered NOAUTH"),
        ("other", "node:pass%20word", "it answered NOPERM"),
    ],
)
async def test_whoever_may_not_is_told_why(
    guarded: Valkey, prefix: str, credentials: str, reason: str
) -> None:
    engine = new_engine(f"redis://{credentials}@{guarded.address}/0", prefix=prefix)
    with pytest.raises(EngineUnreachable, match=reason) as refused:
        await engine.start(0.5)
    assert "pass" not in str(refused.value).replace("WRONGPASS invalid username-password", "")


async def test_a_user_who_may_not_read_the_channels_is_told_at_the_start(guarded: Valkey) -> None:
    guarded.command("ACL", "SETUSER", "node", "resetchannels", "&elsewhere*")
    with pytest.raises(EngineUnreachable, match=r"answered .*access .*channel"):
        await new_engine(f"redis://node:pass%20word@{guarded.address}/0").start(0.5)


@pytest.mark.parametrize("command", ["publish", "hgetall", "xadd", "zrangebyscore"])
async def test_a_user_who_may_not_do_what_scripts_do_is_told_at_the_start(
    guarded: Valkey, command: str
) -> None:
    """A script that gets half way only would leave somebody on record who is not there."""
    guarded.command("ACL", "SETUSER", "node", f"-{command}")
    with pytest.raises(EngineUnreachable, match=r"it answered .*(NOPERM|permission|ACL)"):
        await new_engine(f"redis://node:pass%20word@{guarded.address}/0").start(0.5)


async def test_a_password_alone_is_that_of_the_default_user(valkey: Valkey) -> None:
    valkey.command("CONFIG", "SET", "requirepass", "word")
    async with running(f"redis://:word@{valkey.address}/0") as engine:
        assert engine.is_connected


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Valkey]:
    """A Redis that speaks TLS only."""
    if REDIS is None:
        pytest.skip("needs a Redis with TLS")
    certificate, key = make_certificate(tmp_path)
    server = Valkey(tmp_path / "redis", binary=REDIS, tls=TLS(certificate, certificate, key))
    try:
        yield server.start()
    finally:
        server.kill()


def trusting(server: Valkey, ca: Path | None = None, host: str = "127.0.0.1") -> str:
    """The URL of *server*, whose certificate is checked with that of *ca*."""
    assert server.tls is not None
    return f"rediss://{host}:{server.port}/0?ssl_ca_certs={ca or server.tls.ca}"


async def test_everything_works_over_tls(secured: Valkey) -> None:
    async with running(trusting(secured)) as engine:
        subscriber = await listen(engine, 3, "b:x")
        assert await publish(engine, 3, "x", "hello" * 100_000)
        await until(lambda: subscriber.messages == [b"hello" * 100_000])
        secured.restart(data=False)
        await until(lambda: subscriber.told[-1] == "subscribed" and len(subscriber.told) == 4)
        await until(lambda: engine.is_connected)
    assert (await audit(trusting(secured), "herenow", 8)).is_clean


async def test_a_certificate_of_another_authority_is_refused(
    secured: Valkey, tmp_path: Path
) -> None:
    other, _ = make_certificate(tmp_path, "other")
    with pytest.raises(EngineUnreachable) as refused:
        await new_engine(trusting(secured, other)).start(0.5)
    assert str(refused.value) == (
        f"the engine at {secured.address} could not be used: "
        "its certificate is not accepted: self-signed certificate"
    )
    with pytest.raises(EngineUnreachable, match="its certificate is not accepted"):
        await audit(trusting(secured, other), "herenow", 8)


async def test_a_certificate_of_another_host_is_refused(secured: Valkey) -> None:
    url = trusting(secured, host="localhost")
    with pytest.raises(EngineUnreachable, match="is not accepted: Hostname mismatch"):
        await new_engine(url).start(0.5)
    async with running(f"{url}&ssl_check_hostname=false") as engine:
        assert engine.is_connected


async def test_a_certificate_is_shown_to_a_server_that_asks_for_one(secured: Valkey) -> None:
    secured.command("CONFIG", "SET", "tls-auth-clients", "yes")
    with pytest.raises(EngineUnreachable, match=r"TLS failed|closed the connection"):
        await new_engine(trusting(secured)).start(0.5)
    assert secured.tls is not None
    _, certificate, key = secured.tls
    own = f"&ssl_certfile={certificate}&ssl_keyfile={key}"
    async with running(trusting(secured) + own) as engine:
        assert engine.is_connected


async def test_tls_with_a_server_that_does_not_speak_it_is_said(valkey: Valkey) -> None:
    with pytest.raises(EngineUnreachable, match=r"speak TLS|closed the connection"):
        await new_engine(f"rediss://{valkey.address}/0").start(2)
