"""A Pysher client whose events a test takes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final

import pysher
from pysher.channel import Channel

from compat.inbox import DEADLINE, Inbox, Report
from compat.serving import Address, App

SUCCEEDED: Final = "pusher_internal:subscription_succeeded"


class Listener:
    """Pysher hands events of a channel to handlers by name, so a test says which it wants."""

    def __init__(self, server: Address, app: App, user_data: Report | None = None) -> None:
        self.reports = Inbox("pysher")
        self.pusher = pysher.Pusher(
            app.key,
            secure=False,
            secret=app.secret,
            custom_host=server.host,
            port=server.port,
            user_data=user_data,
            auto_sub=True,
            reconnect_interval=0.2,
        )
        self._steps: SimpleQueue[Callable[[], object]] = SimpleQueue()
        for event in ("pusher:connection_established", "pusher:error", "pusher:signin_success"):
            self.pusher.connection.bind(event, self._report, "connection", event)
        self.pusher.connection.bind("pusher:pong", self._run_steps)
        self.pusher.connect()

    def _in_its_thread(self, step: Callable[[], object]) -> None:
        """Run *step* where Pysher handles messages: elsewhere an answer can overtake it."""
        self._steps.put(step)
        self.pusher.connection.send_event("pusher:ping", {})

    def _run_steps(self, _data: Any) -> None:
        while not self._steps.empty():
            self._steps.get()()

    def _report(self, data: Any, on: str, event: str) -> None:
        decoded = json.loads(data) if isinstance(data, str) else data
        self.reports.put({"on": on, "event": event, "data": decoded})

    @property
    def socket_id(self) -> str:
        return str(self.pusher.connection.socket_id)

    @property
    def state(self) -> str:
        return str(self.pusher.connection.state)

    def connected(self) -> None:
        self.expect("connection", "pusher:connection_established")

    def subscribe(self, channel: str, *events: str) -> Any:
        """Subscribe, listen for *events* and wait for the success; its data."""

        def subscribe() -> None:
            subscription = self.pusher.subscribe(channel)
            for event in (SUCCEEDED, *events):
                subscription.bind(event, self._report, channel, event)

        self._in_its_thread(subscribe)
        return self.expect(channel, SUCCEEDED)

    def subscribe_as(self, channel: str, prepared: Report) -> Any:
        """Subscribe with what an auth endpoint answered."""
        subscription = Channel(channel, self.pusher.connection)
        subscription.bind(SUCCEEDED, self._report, channel, SUCCEEDED)
        self.pusher.channels[channel] = subscription
        self.pusher.connection.send_event("pusher:subscribe", {"channel": channel, **prepared})
        return self.expect(channel, SUCCEEDED)

    def sign_in(self, prepared: Report) -> str:
        """Sign in with what a user-auth endpoint answered; the user data that the server took."""
        self.pusher.connection.send_event("pusher:signin", prepared)
        return str(self.expect("connection", "pusher:signin_success")["user_data"])

    def expect(self, on: str, event: str) -> Any:
        return self.reports.expect(on=on, event=event)["data"]

    def close(self) -> None:
        connection = self.pusher.connection
        connection.disconnect_called = True
        self._in_its_thread(connection.socket.close)
        connection.join(DEADLINE)
        assert not connection.is_alive()


@contextmanager
def listening(server: Address, app: App, user_data: Report | None = None) -> Iterator[Listener]:
    listener = Listener(server, app, user_data)
    try:
        listener.connected()
        yield listener
    finally:
        listener.close()
