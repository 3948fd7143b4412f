"""A database server that nodes share: PostgreSQL, or MySQL or MariaDB, through SQLAlchemy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from herenow.log import clean
from herenow.store.database import Conflict, StoreError, Transaction, Value

DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 10
_SHOWN: Final = 300

# A server that is gone without a word is noticed after about ANSWER_SECONDS.
_ARGUMENTS: Final[dict[str, dict[str, Any]]] = {
    "postgresql": {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": ANSWER_SECONDS * 1_000,
        "options": f"-c statement_timeout={ANSWER_SECONDS}s -c lock_timeout={ANSWER_SECONDS}s",
        "application_name": "herenow",
    },
    "mysql": {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "charset": "utf8mb4",
    },
}


class ServerDatabase:
    """The database that *url* names: ``postgresql://…`` or ``mysql://…``.

    Raises :class:`StoreError` for a URL that SQLAlchemy cannot read.
    """

    exists = True

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            driver = DRIVERS[parsed.drivername]
            self._password = parsed.password or ""
            self._engine: Engine = sqlalchemy.create_engine(
                parsed.set(drivername=driver),
                connect_args=_arguments(parsed),
                hide_parameters=True,
                pool_size=1,
                max_overflow=0,
                pool_pre_ping=True,
            )
        except (SQLAlchemyError, KeyError, ValueError, TypeError):
            raise StoreError(
                "store.url: expected scheme://user:password@host:port/database, with"
                " percent-encoded user and password"
            ) from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._transaction("REPEATABLE READ") as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._transaction("READ COMMITTED") as transaction:
            yield transaction

    @contextlib.contextmanager
    def _transaction(self, isolation: str) -> Iterator[Transaction]:
        try:
            with (
                self._engine.connect().execution_options(isolation_level=isolation) as connection,
                connection.begin(),
            ):
                yield _ServerTransaction(connection)
        except IntegrityError as error:
            raise Conflict(self._told(error)) from None
        except SQLAlchemyError as error:
            raise StoreError(self._told(error)) from None

    def _told(self, error: SQLAlchemyError) -> str:
        """What the server or its driver says, without the statement and without the password."""
        cause: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            cause = error.orig
        said = str(cause) or type(cause).__name__
        if self._password:
            said = said.replace(self._password, "…")
        return f"the database server: {clean(' '.join(said.split()), _SHOWN)}"

    def close(self) -> None:
        self._engine.dispose()


def _arguments(url: URL) -> dict[str, Any]:
    """Those of ours that the URL does not give itself."""
    ours = _ARGUMENTS[url.drivername]
    return {name: value for name, value in ours.items() if name not in url.query}


class _ServerTransaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, **values: Value) -> int:
        return self._connection.execute(text(sql), values).rowcount

    def rows(self, sql: str, **values: Value) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._connection.execute(text(sql), values)]

    def has_table(self, name: str) -> bool:
        return sqlalchemy.inspect(self._connection).has_table(name)
