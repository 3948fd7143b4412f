"""Real PostgreSQL and MariaDB of the system, each in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import sqlalchemy

from cluster.servers import HOST, free_port

PATIENCE_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
PASSWORD: Final = "Marked/db+pass word%@:7"
USER: Final = "herenow"
DATABASE: Final = "herenow"
_UNPRIVILEGED: Final = "nobody"


def postgres_binaries() -> Path | None:
    """Where PostgreSQL's programs are: Debian keeps them off the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = shutil.which("postgres")
    return kept[-1].parent if kept else Path(found).resolve().parent if found else None


def mariadb_binary() -> Path | None:
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found and shutil.which("mariadb-install-db") else None


class DatabaseServer:
    """A server that keeps its port over a restart; it never runs as root."""

    scheme: str
    driver: str
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="herenow-db-"))
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.directory, _UNPRIVILEGED)
        self.prepare()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{USER}:{quote(PASSWORD, safe='')}@{HOST}:{self.port}/{DATABASE}"

    def prepare(self) -> None: ...

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.directory, stdout=log, stderr=log, **_as_nobody()
            )
        self._wait()
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, check=False, **_as_nobody()
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")

    def content(self) -> bytes:
        """Every file of the server, one after another."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        return b"\n".join(path.read_bytes() for path in files)

    def execute(self, sql: str) -> list[Any]:
        engine = sqlalchemy.create_engine(self.url.replace(self.scheme, self.driver, 1))
        try:
            with engine.begin() as connection:
                answered = connection.execute(sqlalchemy.text(sql))
                return list(answered) if answered.returns_rows else []
        finally:
            engine.dispose()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except sqlalchemy.exc.SQLAlchemyError:
                running = self._process is not None and self._process.poll() is None
                assert running, f"the server ended:\n{self.log.read_text(errors='replace')}"
                assert time.monotonic() < deadline, self.log.read_text(errors="replace")
                time.sleep(0.05)
            else:
                return


class Postgres(DatabaseServer):
    scheme = "postgresql"
    driver = "postgresql+psycopg"
    # Fast: it does not wait for clients to go.
    stop_signal = signal.SIGINT

    def prepare(self) -> None:
        binaries = postgres_binaries()
        assert binaries is not None
        self._program = binaries / "postgres"
        self._data = self.directory / "data"
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ("-U", USER, "--auth=scram-sha-256", "-E", "UTF8", "--no-sync")
        self.run(binaries / "initdb", "-D", self._data, *options, f"--pwfile={password}")
        password.unlink()

    def command(self) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._program, "-D", self._data, *given]

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        first = sqlalchemy.create_engine(
            self.url.replace(self.scheme, self.driver, 1).removesuffix(DATABASE) + "postgres",
            isolation_level="AUTOCOMMIT",
        )
        try:
            while True:
                try:
                    with first.connect() as connection:
                        known = sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = :name")
                        if not list(connection.execute(known, {"name": DATABASE})):
                            connection.execute(sqlalchemy.text(f"CREATE DATABASE {DATABASE}"))
                        break
                except sqlalchemy.exc.OperationalError:
                    assert time.monotonic() < deadline, self.log.read_text(errors="replace")
                    time.sleep(0.05)
        finally:
            first.dispose()
        super()._wait()


class MariaDb(DatabaseServer):
    scheme = "mysql"
    driver = "mysql+pymysql"

    def prepare(self) -> None:
        program = mariadb_binary()
        assert program is not None
        self._program = program
        self._data = self.directory / "data"
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self._first = self.directory / "first.sql"
        self._first.write_text(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'{HOST}' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'{HOST}';\n"
        )

    def command(self) -> Sequence[str | Path]:
        return [
            self._program,
            "--no-defaults",
            f"--datadir={self._data}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={self.directory / 'socket'}",
            f"--pid-file={self.directory / 'pid'}",
            f"--init-file={self._first}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
        ]


def _as_nobody() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    return {"user": _UNPRIVILEGED, "group": "nogroup", "extra_groups": []}
