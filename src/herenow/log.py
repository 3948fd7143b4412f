"""Log lines: one renderer for all of them, and text from outside made harmless."""

from __future__ import annotations

import logging
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

_ESCAPE_SEQUENCE: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# Controls, formats (bidirectional overrides and isolates among them), lone surrogates, separators
# of lines and paragraphs.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LENGTH: Final = 1_000
_WINDOW_SECONDS: Final = 1.0


def clean(text: str, limit: int = 200) -> str:
    """*text* from outside on one line: at most *limit* characters, none that a terminal obeys."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    # Whatever is cut here cannot come back: sequences only ever make the text shorter.
    bounded = _ESCAPE_SEQUENCE.sub("", text[: limit * 4])
    visible = "".join(
        character for character in bounded if unicodedata.category(character) not in _UNPRINTABLE
    )
    if len(visible) > limit or len(text) > limit * 4:
        return visible[: max(limit - 1, 0)] + "…"
    return visible


def configure(log_format: str, stream: TextIO = sys.stderr) -> None:
    """Send every record of level ``INFO`` and above to *stream*, as text or JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(log_format, colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


class _Formatter(logging.Formatter):
    """Renders records with structlog, which is imported with the first of them: a server listens
    before it has read what it does not need for that.
    """

    def __init__(self, log_format: str, *, colors: bool) -> None:
        super().__init__()
        self._log_format = log_format
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        return self._renderer.format(record)

    @cached_property
    def _renderer(self) -> logging.Formatter:
        import structlog

        line: Processor
        if self._log_format == "json":
            line = structlog.processors.JSONRenderer(ensure_ascii=False)
        else:
            plain = structlog.dev.plain_traceback
            line = structlog.dev.ConsoleRenderer(colors=self._colors, exception_formatter=plain)
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _clean_values,
                line,
            ],
        )


def _clean_values(logger: Any, method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _clean_lines(value) if name == "exception" else clean(value, _LENGTH)
    return event


def _clean_lines(traceback: str) -> str:
    return "\n".join(clean(line, _LENGTH) for line in traceback.splitlines())


class RateLimitedLog:
    """Lines that anybody outside can cause: at most *per_second* of each kind.

    With another window than a second, that many in each window.

    The first line of a kind after a pause says how many were suppressed; :meth:`flush` says it
    where no further line comes.
    """

    def __init__(
        self,
        logger: logging.Logger,
        per_second: int = 5,
        clock: Callable[[], float] = time.monotonic,
        window_seconds: float = _WINDOW_SECONDS,
    ) -> None:
        self._logger = logger
        self._per_second = per_second
        self._clock = clock
        self._window_seconds = window_seconds
        self._windows: dict[str, _Window] = {}

    def warning(self, kind: str, **fields: object) -> None:
        """Log *kind* with *fields*, made harmless, unless there were too many of it lately."""
        now = self._clock()
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(now)
        elif now - window.start >= self._window_seconds:
            if window.suppressed:
                fields["suppressed"] = window.suppressed
            window.restart(now)
        if window.lines >= self._per_second:
            window.suppressed += 1
            return
        window.lines += 1
        told = {
            name: clean(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        self._logger.warning(kind, extra=told)

    def flush(self) -> None:
        """Say what was suppressed and not yet told."""
        for kind, window in self._windows.items():
            if window.suppressed:
                self._logger.warning(kind, extra={"suppressed": window.suppressed})
                window.suppressed = 0


class _Window:
    """One second of one kind of line."""

    __slots__ = ("lines", "start", "suppressed")

    def __init__(self, start: float) -> None:
        self.restart(start)

    def restart(self, start: float) -> None:
        self.start = start
        self.lines = 0
        self.suppressed = 0
