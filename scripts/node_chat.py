"""Run a server and the chat of ``examples/node-chat`` until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 30
STOP_SECONDS: Final = 15

_ADDRESS: Final = re.compile(r"http://[^\s:]+:(\d+)")


class ChatFailed(Exception):
    """The chat cannot run; the text says why and what to do."""


class Line(NamedTuple):
    """A line that a program printed; ``None`` when it has ended."""

    program: str
    text: str | None


class Program:
    """A program that runs beside this one, in a process group that Ctrl-C does not reach."""

    def __init__(
        self, name: str, command: list[str], directory: Path, settings: dict[str, str]
    ) -> None:
        self.name = name
        foreign = ("HERENOW_", "PUSHER_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=own | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def report_to(self, lines: queue.Queue[Line]) -> None:
        """Put every line printed into *lines*."""
        assert self.process.stdout is not None
        reader = threading.Thread(target=_read, args=(self.name, self.process.stdout, lines))
        reader.daemon = True
        reader.start()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _read(name: str, output: IO[str], lines: queue.Queue[Line]) -> None:
    for text in output:
        lines.put(Line(name, text.rstrip("\n")))
    lines.put(Line(name, None))


def check_port(option: str, port: int) -> None:
    """Raise :class:`ChatFailed` when somebody listens on *port*."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ChatFailed(
                f"Port {port} cannot be used: {error.strerror}.\n"
                f"Stop what listens there, or choose another: make node-chat {option}={port + 10}"
            ) from None


def wait_until_ready(name: str, lines: queue.Queue[Line]) -> str:
    """The line in which the program *name* says that it is ready."""
    while True:
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            raise ChatFailed(f"{name} was not ready within {READY_SECONDS} seconds.") from None
        if line.text is None:
            raise ChatFailed(f"{line.program} has ended.")
        if line.program == name and " ready " in line.text:
            return line.text


def run(port: int, server_port: int, admin_port: int) -> None:
    node = shutil.which("node")
    if node is None:
        raise ChatFailed("The chat needs Node.js 20 or newer.")
    check_port("SERVER_PORT", server_port)
    check_port("ADMIN_PORT", admin_port)
    check_port("PORT", port)

    lines: queue.Queue[Line] = queue.Queue()
    programs: list[Program] = []

    def start(name: str, command: list[str], directory: Path, settings: dict[str, str]) -> str:
        program = Program(name, command, directory, settings)
        programs.append(program)
        program.report_to(lines)
        return wait_until_ready(name, lines)

    try:
        herenow = str(Path(sys.executable).with_name("herenow"))
        ports = ["--port", str(server_port), "--admin-port", str(admin_port)]
        ready = start("herenow", [herenow, "serve", "--host", HOST, *ports], ROOT, {})
        public, admin = _ADDRESS.finditer(ready)
        settings = {"PUSHER_HOST": HOST, "PUSHER_PORT": public[1], "PORT": str(port)}
        chat = start("chat", [node, "server.js"], ROOT / "examples/node-chat", settings)
        address = _ADDRESS.search(chat)
        print(f"\n  herenow  {public[0]}, its admin page {admin[0]}", flush=True)
        print(f"  chat     {address[0] if address else chat}", flush=True)
        print("\nOpen the chat in two browsers. Ctrl-C stops both.", flush=True)
        while True:
            line = lines.get()
            if line.text is None:
                raise ChatFailed(f"{line.program} has ended.")
            print(f"{line.program}: {line.text}", flush=True)
    finally:
        for program in reversed(programs):
            program.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--server-port", type=int, default=6001)
    parser.add_argument("--admin-port", type=int, default=9601)
    options = parser.parse_args()
    # SIGINT too: whoever starts this in the background may have it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run(options.port, options.server_port, options.admin_port)
    except ChatFailed as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        print("\nBoth are stopped.")


if __name__ == "__main__":
    main()
