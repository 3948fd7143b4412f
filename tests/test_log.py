"""What log lines look like and what they keep out."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herenow.log import RateLimitedLog, clean, configure


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def lines(root_logger: logging.Logger) -> Callable[[str], io.StringIO]:
    """Starts logging in a format; what is logged can be read from the answer."""

    def start(log_format: str) -> io.StringIO:
        stream = io.StringIO()
        configure(log_format, stream)
        return stream

    return start


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text, ünïcödé and 日本", "plain text, ünïcödé and 日本"),
        ("two\nlines\r\nand\ttabs\0", "twolinesandtabs"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shell", "shell"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x9b31mred", "red"),
        ("\x1bcreset", "reset"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u2066b\u2069c\u200bd\ufeff", "abcd"),
        ("line\u2028paragraph\u2029", "lineparagraph"),
        ("\ud800lone", "lone"),
    ],
)
def test_text_from_outside_is_stripped(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_text_from_outside_is_bounded() -> None:
    assert clean("x" * 201) == "x" * 199 + "…"
    assert clean("x" * 200) == "x" * 200
    assert clean("x" * 10, limit=4) == "xxx…"
    assert len(clean("\x1b[31m" * 1_000_000)) <= 200


@given(st.text(), st.integers(1, 50))
def test_nothing_cleaned_controls_a_terminal(text: str, limit: int) -> None:
    cleaned = clean(text, limit)

    assert len(cleaned) <= limit
    assert not {unicodedata.category(character) for character in cleaned} & {"Cc", "Cf", "Cs"}
    assert len(cleaned.splitlines()) <= 1


def test_json_lines_carry_level_logger_time_and_fields(
    lines: Callable[[str], io.StringIO],
) -> None:
    stream = lines("json")

    logging.getLogger("herenow.test").info("opened %d", 3, extra={"address": "::1"})

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "opened 3",
        "level": "info",
        "logger": "herenow.test",
        "address": "::1",
    }


def test_text_lines_carry_level_logger_and_fields(lines: Callable[[str], io.StringIO]) -> None:
    stream = lines("text")

    logging.getLogger("herenow.test").warning("closed", extra={"code": 4009})

    line = stream.getvalue()
    assert line.count("\n") == 1
    assert all(part in line for part in ("warning", "herenow.test", "closed", "code=4009"))
    assert "\x1b" not in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_value_starts_a_line_of_its_own(
    lines: Callable[[str], io.StringIO], log_format: str
) -> None:
    stream = lines(log_format)

    logging.getLogger("herenow.test").warning(
        "refused %s", "a\nERROR forged", extra={"origin": "x\r\nERROR forged\x1b[2J"}
    )

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_an_exception_comes_with_its_traceback(lines: Callable[[str], io.StringIO]) -> None:
    stream = lines("json")

    try:
        raise ValueError("bad\x1b[31m value")
    except ValueError:
        logging.getLogger("herenow.test").exception("failed")

    line = json.loads(stream.getvalue())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: bad value")


def test_debug_lines_are_left_out(lines: Callable[[str], io.StringIO]) -> None:
    stream = lines("text")

    logging.getLogger("herenow.test").debug("unheard")

    assert stream.getvalue() == ""


class Lines(logging.Handler):
    """Keeps kind and number of suppressed lines of every record."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.getMessage(), getattr(record, "suppressed", 0)))


class Limited:
    """A log of two lines a second under a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lines = Lines()
        logger = logging.Logger("test")
        logger.addHandler(self._lines)
        self.log = RateLimitedLog(logger, per_second=2, clock=lambda: self.now)

    @property
    def seen(self) -> list[tuple[str, int]]:
        return self._lines.seen


@pytest.fixture
def limited() -> Limited:
    return Limited()


def test_lines_above_the_rate_are_suppressed_and_counted(limited: Limited) -> None:
    for _ in range(5):
        limited.log.warning("refused", address="::1")
    assert limited.seen == [("refused", 0), ("refused", 0)]

    limited.now = 1.0
    limited.log.warning("refused")
    assert limited.seen[2:] == [("refused", 3)]


def test_each_kind_has_a_rate_of_its_own(limited: Limited) -> None:
    for _ in range(3):
        limited.log.warning("refused")
    limited.log.warning("malformed")

    assert limited.seen[2:] == [("malformed", 0)]


def test_what_was_suppressed_is_told_once_at_a_flush(limited: Limited) -> None:
    for _ in range(4):
        limited.log.warning("refused")
    limited.log.flush()
    limited.log.flush()
    limited.now = 1.0
    limited.log.warning("refused")

    assert limited.seen[2:] == [("refused", 2), ("refused", 0)]
