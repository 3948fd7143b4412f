"""Processes that run official packages of other languages, one JSON object a line each way."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from compat.inbox import DEADLINE, Inbox, Report
from compat.serving import Address, App

SCRIPTS: Final = Path(__file__).parent / "js"
JAVA: Final = Path(__file__).parent / "java"
MASTER_KEY: Final = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


class Refused(Exception):
    """A call of the server library failed as the library says it."""

    def __init__(self, status: int | None, body: str, message: str) -> None:
        super().__init__(status, body, message)
        self.status = status
        self.body = body
        self.message = message

    def __str__(self) -> str:
        return f"{self.message}: {self.status} {self.body}"


class Script:
    """One running program: commands in, reports out."""

    def __init__(self, command: list[str], settings: Report) -> None:
        self.reports = Inbox(command[-1])
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.reports.put(json.loads(line))

    def tell(self, command: str, **arguments: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def ask(self, command: str, **arguments: object) -> Any:
        self.tell(command, **arguments)
        return self.reports.expect(answer=command)["value"]

    def close(self) -> None:
        """End the process; its connection closes with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


class Client(Script):
    """A pusher-js client.

    *members* says what its auth endpoint adds for each channel, *forged* for which channels the
    endpoint signs with a wrong secret.
    """

    def __init__(
        self,
        node: str,
        server: Address,
        app: App,
        *,
        library: str = "pusher-js",
        user: Report | None = None,
        members: Report | None = None,
        forged: Sequence[str] = (),
    ) -> None:
        settings = connection_settings(server, app)
        settings |= {"library": library, "user": user, "members": members or {}}
        settings["forged"] = forged
        super().__init__([node, str(SCRIPTS / "client.mjs")], settings)

    def connected(self, timeout: float = DEADLINE) -> str:
        """Wait until connected; the socket id."""
        report = self.reports.expect(timeout, on="connection", event="connected")
        return str(report["socket_id"])

    def subscribe(self, channel: str, *listen: str) -> Any:
        """Subscribe and wait for the success; what the application is given with it."""
        self.tell("subscribe", channel=channel, listen=listen)
        return self.expect(channel, "pusher:subscription_succeeded")

    def expect(self, on: str, event: str) -> Any:
        return self.reports.expect(on=on, event=event)["data"]

    def sign_in(self) -> None:
        self.tell("signin")
        self.reports.expect(on="user", event="signed-in")


class Caller(Script):
    """A library for an application's backend."""

    def call(self, method: str, *arguments: object) -> Any:
        """Call *method*; the decoded body of a 200, or what a method without a request gives."""
        answer = self.ask("call", method=method, arguments=arguments)
        if "failure" in answer:
            failure = answer["failure"]
            raise Refused(failure.get("status"), failure.get("body", ""), failure["message"])
        return answer["result"]


class Backend(Caller):
    """The official ``pusher`` package for Node."""

    def __init__(self, node: str, server: Address, app: App) -> None:
        super().__init__([node, str(SCRIPTS / "backend.mjs")], connection_settings(server, app))


class JavaBackend(Caller):
    """The official ``pusher-http-java``."""

    def __init__(self, java: list[str], server: Address, app: App) -> None:
        super().__init__([*java, str(JAVA / "Backend.java")], connection_settings(server, app))


def connection_settings(server: Address, app: App) -> Report:
    return {
        "id": app.id,
        "key": app.key,
        "secret": app.secret,
        "host": server.host,
        "port": server.port,
        "masterKey": MASTER_KEY,
    }
