"""The configuration reference, written from the settings.

``python -m herenow.config.reference`` prints it.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any, Final

from herenow.config import rules
from herenow.config.settings import (
    APP,
    KEY,
    LIMITS,
    SECTIONS,
    WEBHOOK,
    Setting,
    settings_of,
)

_INTRODUCTION: Final = """\
# Configuration

Settings come from a TOML file (`herenow serve --config herenow.toml`), from the environment and
from the command line. The command line wins over the environment, the environment over the file,
the file over the defaults. An unknown key is an error.

Every key is also an environment variable: `HERENOW_`, the section, two underscores and the key, as
in `HERENOW_SERVER__PORT=6001`. Applications, their keys and their webhooks are counted from 0:
`HERENOW_APPS__0__CLIENT_EVENTS=true`. A list is written with commas, a table as JSON.
`PUSHER_APP_ID`, `PUSHER_APP_KEY` and `PUSHER_APP_SECRET` together define one application; the one
of that id in the file, if there is one, takes this key and secret and keeps its other settings.

Sizes are in bytes where the key ends in `_bytes`, times in seconds where it ends in `_seconds`;
seconds may have decimals. For every limit `0` means unlimited. A secret is written as text, or as
`{ file = "/run/secrets/x" }` or `{ env = "X" }`. File names are relative to the directory that the
server is started in.

Without any application and without `store.secret_key` the server has an application of its own:
id `1`, key `herenow-key`, secret `herenow-secret`, client events on. It is served on loopback
addresses only.
"""


def render() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRODUCTION]
    for name, section in SECTIONS.items():
        parts.append(_section(f"[{name}]", section.__doc__ or "", settings_of(section)))
    parts.append(_section("[limits]", "Defaults of every application's limits.", LIMITS))
    parts.append(
        _section(
            "[[apps]]",
            "Who may connect. An application has `key` and `secret`, or several pairs of them in "
            '`keys = [{ key = "…", secret = "…" }, …]`, oldest first. Its own `limits` stand over '
            "those of `[limits]`: `limits = { max_presence_members = 100 }`.",
            {"id": APP["id"], **KEY, **APP},
        )
    )
    parts.append(_section("[[apps.webhooks]]", "Who is told what happens.", WEBHOOK))
    return "\n".join(parts)


def _section(title: str, doc: str, settings: Mapping[str, Setting]) -> str:
    rows = [_row(name, setting) for name, setting in settings.items()]
    head = ["| key | default | meaning | value |", "|---|---|---|---|"]
    return "\n".join([f"## `{title}`", "", inspect.cleandoc(doc), "", *head, *rows, ""])


def _row(name: str, setting: Setting) -> str:
    value = setting.rule.expected.removeprefix("a ").removeprefix("an ")
    if setting.rule is rules.LIMIT:
        value += "; 0 is unlimited"
    return f"| `{name}` | {_default(setting.default)} | {setting.doc} | {value} |"


def _default(default: Any) -> str:
    if default is MISSING:
        return "*required*"
    if isinstance(default, tuple):
        default = list(default)
    return f"`{json.dumps(default)}`"


if __name__ == "__main__":
    sys.stdout.write(render())
