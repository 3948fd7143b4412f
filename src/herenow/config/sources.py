"""Where settings come from: a file, the environment over it, the command line over both."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from herenow.config.problems import nearest
from herenow.config.settings import LIMITS, SECTIONS, settings_of

Tree = dict[str, Any]

PREFIX: Final = "HERENOW_"
PUSHER_VARIABLES: Final = {
    "PUSHER_APP_ID": "id",
    "PUSHER_APP_KEY": "key",
    "PUSHER_APP_SECRET": "secret",
}

# The test suite's own switch, which reaches the servers that it starts.
_NOT_SETTINGS: Final = frozenset({"HERENOW_PROOF"})

# What Kubernetes gives every pod of a namespace that has a service named herenow or herenow-….
_SERVICE_LINK: Final = re.compile(
    r"HERENOW_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?)=.*"
    r"|HERENOW_(\w+_)?PORT=\w+://.*",
    re.DOTALL,
)


class Given(NamedTuple):
    """A setting given as text, and where."""

    text: str
    source: str


def read_file(path: Path, problems: list[str]) -> Tree:
    """The tables of the TOML file at *path*."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"config: cannot read {path}: {error.strerror or error}")
    except UnicodeDecodeError:
        problems.append(f"config: {path} is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"config: {path} is not TOML: {error}")
    except RecursionError:
        problems.append(f"config: {path} nests too deeply")
    return {}


def lay_pusher_app(tree: Tree, environ: Mapping[str, str], problems: list[str]) -> None:
    """Add the application of ``PUSHER_APP_…``, or give the one with its id this key and secret."""
    given = {variable: environ[variable] for variable in PUSHER_VARIABLES if environ.get(variable)}
    if not given:
        return
    for variable in PUSHER_VARIABLES:
        if variable not in given:
            problems.append(f"{variable}: expected a text, since {next(iter(given))} is set")
    if len(given) < len(PUSHER_VARIABLES):
        return
    credentials = {
        PUSHER_VARIABLES[variable]: Given(text, variable) for variable, text in given.items()
    }
    apps = tree.setdefault("apps", [])
    if not isinstance(apps, list):
        return
    for app in apps:
        if isinstance(app, dict) and app.get("id") == given["PUSHER_APP_ID"]:
            app.pop("keys", None)
            app.update(credentials)
            return
    apps.append(credentials)


def lay_environment(tree: Tree, environ: Mapping[str, str], problems: list[str]) -> None:
    """Lay every ``HERENOW_SECTION__KEY`` over *tree*; numbers in it count tables from 0."""
    for variable in sorted(environ, key=_natural):
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        if _SERVICE_LINK.fullmatch(f"{variable}={environ[variable]}"):
            continue
        path = variable.removeprefix(PREFIX).lower().split("__")
        if len(path) < 2:
            problems.append(f"{variable}: unknown variable, did you mean {_meant(variable)}?")
        elif not lay(tree, path, Given(environ[variable], variable)):
            problems.append(
                f"{variable}: expected numbers that follow on what is configured, from 0"
            )


def lay_flags(tree: Tree, overrides: Mapping[str, object]) -> None:
    """Lay ``{"section.key": value}`` over *tree*; ``None`` is a flag that was not given."""
    for key, value in overrides.items():
        if value is not None:
            given = Given(value, "command line") if isinstance(value, str) else value
            lay(tree, key.split("."), given)


def lay(tree: Tree, path: list[str], leaf: object) -> bool:
    """Set *leaf* at *path*. What stands in its way is left for the reader to complain about."""
    node: Any = tree
    for position, part in enumerate(path):
        last = position == len(path) - 1
        fresh: object = leaf if last else [] if path[position + 1].isdecimal() else {}
        if isinstance(node, list):
            if not part.isdecimal() or int(part) > len(node):
                return False
            if int(part) == len(node):
                node.append(fresh)
            elif last:
                node[int(part)] = leaf
            node = node[int(part)]
        elif isinstance(node, dict):
            if last or part not in node:
                node[part] = fresh
            node = node[part]
        else:
            return True
    return True


def _natural(variable: str) -> list[tuple[int, str]]:
    """Sorts table 2 before table 10."""
    parts = variable.split("__")
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _meant(variable: str) -> str:
    known = {f"{PREFIX}{key.upper().replace('.', '__')}": key for key in known_keys()}
    for name in known:
        if name.replace("__", "_") == variable:
            return name
    key = variable.removeprefix(PREFIX).lower()
    meant = nearest(key, known.values(), known.values())
    return f"{PREFIX}{meant.upper().replace('.', '__')}"


def known_keys() -> Iterator[str]:
    """Every key outside of applications, as ``section.key``."""
    for name, section in SECTIONS.items():
        yield from (f"{name}.{key}" for key in settings_of(section))
    yield from (f"limits.{key}" for key in LIMITS)
