"""Several ``herenow serve`` processes that share one engine."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from compat.serving import first_line
from conformance.harness.api import Api, Response
from conformance.harness.apps import App, Settings, configuration
from conformance.harness.server import endpoint
from conformance.harness.websocket import Endpoint
from faults.network import HOST, Link, Network

NODES: Final = 3
READY: Final = re.compile(r"herenow ready public=(\S+) admin=(\S+)\n")
SERVE: Final = tuple(
    shlex.split(os.environ.get("HERENOW_SERVER_COMMAND", ""))
    or (str(Path(sys.executable).with_name("herenow")), "serve")
)
STOP_SECONDS: Final = 30.0
LOG_LINES: Final = 40


def environment() -> dict[str, str]:
    """This process's environment without what would configure a server."""
    ours = ("HERENOW_", "PUSHER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@dataclass(frozen=True, slots=True)
class Setup:
    """How the nodes of a deployment are started; ``sections`` are further ones by their names."""

    apps: Mapping[str, App]
    cluster: Settings = field(default_factory=dict)
    server: Settings = field(default_factory=dict)
    sections: Mapping[str, Settings] = field(default_factory=dict)
    command: Sequence[str] = SERVE
    environment: Mapping[str, str] = field(default_factory=dict)

    def toml(self, url: str) -> str:
        lines = [configuration(self.apps, self.server)]
        for section, settings in {"cluster": {"url": url, **self.cluster}, **self.sections}.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        return "\n".join([*lines, ""])


class Node:
    """One server process. Started again, it is another node on the same port."""

    def __init__(
        self, name: str, directory: Path, setup: Setup, url: str, link: Link | None
    ) -> None:
        self.name = name
        self.setup = setup
        self.url = url
        self.link = link
        self.frozen = False
        self.log = directory / f"{name}.log"
        self._config = directory / f"{name}.toml"
        self._endpoint = Endpoint(HOST, 0)
        self._admin = Endpoint(HOST, 0)
        self._process: subprocess.Popen[str] | None = None

    def __repr__(self) -> str:
        return f"<node {self.name} of {self._endpoint.authority}>"

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    @property
    def admin_endpoint(self) -> Endpoint:
        return self._admin

    @property
    def config(self) -> Path:
        """The configuration it was started with."""
        return self._config

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def resident_bytes(self) -> int:
        """How much memory the process has."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1_024

    def start(self) -> None:
        process = self.launch()
        line = first_line(process)
        ready = READY.fullmatch(line)
        if ready is None:
            self.kill()
            raise AssertionError(f"{self.name} is not ready but says {line!r}:\n{self.log_tail()}")
        self._endpoint, self._admin = endpoint(ready[1]), endpoint(ready[2])

    def launch(self) -> subprocess.Popen[str]:
        """Start the process without waiting until it is ready."""
        self._config.write_text(self.setup.toml(self.url))
        ports = ["--port", str(self._endpoint.port), "--admin-port", str(self._admin.port)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*self.setup.command, "--config", str(self._config), *ports],
                cwd=self.log.parent,
                env=environment() | dict(self.setup.environment),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._process

    def kill(self) -> None:
        """End it at once, as a machine ends that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._reap(STOP_SECONDS)

    def terminate(self) -> None:
        """Ask it to end; :meth:`wait` tells when it has."""
        assert self._process is not None
        self._process.terminate()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit code."""
        return self._reap(seconds)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    @contextlib.contextmanager
    def api(self, app: App) -> Iterator[Api]:
        """The HTTP API as a backend of *app* uses it here."""
        api = Api(self._endpoint, app)
        try:
            yield api
        finally:
            api.close()

    def admin(self, path: str) -> Response:
        """The answer of the admin port to GET *path*."""
        api = Api(self._admin, next(iter(self.setup.apps.values())))
        try:
            return api.send("GET", path, "")
        finally:
            api.close()

    def metric(self, name: str) -> float:
        """The sum of the metric *name* over its labels."""
        pattern = rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$"
        found = re.findall(pattern, self.admin("/metrics").text, re.MULTILINE)
        assert found, f"{self.name} has no metric {name}"
        return sum(map(float, found))

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_LINES:])

    def _reap(self, seconds: float) -> int:
        assert self._process is not None
        code = self._process.wait(seconds)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        self.frozen = False
        return code


class Deployment:
    """*count* nodes on one engine, each with a link of its own to it."""

    def __init__(
        self,
        directory: Path,
        setup: Setup,
        engine: Endpoint | str,
        *,
        count: int = NODES,
    ) -> None:
        """An *engine* given as a URL is reached without links."""
        self.directory = directory
        self.setup = setup
        self.engine = engine
        self.nodes: list[Node] = []
        self._network: Network | None = None
        self._names = itertools.count()
        self._turns = itertools.count()
        self._count = count

    def __enter__(self) -> Deployment:
        self.directory.mkdir(parents=True, exist_ok=True)
        if isinstance(self.engine, Endpoint):
            self._network = Network()
        try:
            nodes = [self.node() for _ in range(self._count)]
            with ThreadPoolExecutor() as starting:
                list(starting.map(Node.start, nodes))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        if error is not None:
            for name, story in self.stories():
                error.add_note(f"{name} logged:\n{story}")
        for node in self.nodes:
            node.kill()
        if self._network is not None:
            self._network.close()

    def node(self, **changes: object) -> Node:
        """A further node, not started; *changes* are to its settings of the cluster."""
        setup = replace(self.setup, cluster={**self.setup.cluster, **changes})
        link = None
        if isinstance(self.engine, str):
            url = self.engine
        else:
            assert self._network is not None
            link = self._network.link(self._reach_engine)
            url = f"redis://{HOST}:{link.port}"
        node = Node(f"node-{next(self._names)}", self.directory, setup, url, link)
        self.nodes.append(node)
        return node

    def _reach_engine(self) -> Endpoint:
        assert isinstance(self.engine, Endpoint)
        return self.engine

    @property
    def serving(self) -> list[Node]:
        """The nodes that run and are not frozen."""
        return [node for node in self.nodes if node.is_running and not node.frozen]

    def next(self) -> Endpoint:
        """A node for the next connection, each in its turn, as a load balancer gives them."""
        serving = self.serving
        return serving[next(self._turns) % len(serving)].endpoint

    def stories(self) -> Iterator[tuple[str, str]]:
        """The end of each node's log."""
        for node in self.nodes:
            yield node.name, node.log_tail()
