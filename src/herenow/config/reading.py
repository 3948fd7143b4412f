"""Tables of raw values become settings; whatever is wrong is noted and reading goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from herenow.apps.base import App, Key, Limits, WebhookEndpoint
from herenow.config import rules
from herenow.config.problems import nearest
from herenow.config.rules import Refused, Rule
from herenow.config.settings import APP, KEY, LIMITS, SECTIONS, WEBHOOK, Setting
from herenow.config.sources import Given, known_keys

_NESTED_IN_APP: Final = ("key", "secret", "keys", "limits", "webhooks")
_SECRET_FORMS: Final = ("file", "env")


class Reader:
    """Reads values and collects problems. *environ* answers ``{ env = … }``."""

    def __init__(self, environ: Mapping[str, str], problems: list[str]) -> None:
        self._environ = environ
        self._problems = problems

    def top_level(self, tree: Mapping[str, Any]) -> None:
        """Refuse sections that do not exist."""
        sections = (*SECTIONS, "limits", "apps")
        self._refuse_unknown(tree, sections, "", known_keys())

    def section(self, tree: Mapping[str, Any], name: str, settings: Mapping[str, Setting]) -> Any:
        """The settings given in the section *name*."""
        table = self._table(tree.get(name, {}), name)
        self._refuse_unknown(table, settings, name, known_keys())
        return self._settings(table, settings, name)

    def apps(self, tree: Mapping[str, Any], limits: Limits) -> tuple[App, ...]:
        """Every application that could be read."""
        tables = self._tables(tree.get("apps", []), "apps")
        apps = [self.app(table, path, limits) for path, table in tables]
        self._refuse_repeated(
            (f"{path}.id", app.id) for (path, _), app in zip(tables, apps, strict=True) if app
        )
        self._refuse_repeated(
            (f"{path}.key", pair.key)
            for (path, _), app in zip(tables, apps, strict=True)
            if app
            for pair in app.keys
        )
        return tuple(app for app in apps if app)

    def app(self, table: Mapping[str, Any], path: str, limits: Limits) -> App | None:
        """The application of *table*, if it could be read."""
        self._refuse_unknown(table, (*APP, *_NESTED_IN_APP), path)
        values = self._settings(table, APP, path)
        keys = self._keys(table, path)
        own = self._table(table.get("limits", {}), f"{path}.limits")
        self._refuse_unknown(own, LIMITS, f"{path}.limits")
        webhooks = [
            self._webhook(webhook, where)
            for where, webhook in self._tables(table.get("webhooks", []), f"{path}.webhooks")
        ]
        of_app = dataclasses.replace(limits, **self._settings(own, LIMITS, f"{path}.limits"))
        if "id" not in values or not keys:
            return None
        return App(
            **values,
            keys=keys,
            limits=of_app,
            webhooks=tuple(webhook for webhook in webhooks if webhook),
        )

    def _keys(self, table: Mapping[str, Any], path: str) -> tuple[Key, ...]:
        """The key pairs of an application, written in one of the two ways."""
        pairs: list[tuple[str, Mapping[str, Any]]]
        if "keys" not in table:
            pairs = [(path, {name: table[name] for name in KEY if name in table})]
        elif "key" in table or "secret" in table:
            self._problems.append(f"{path}: expected key and secret, or keys, got both")
            return ()
        else:
            pairs = self._tables(table["keys"], f"{path}.keys")
            if table["keys"] == []:
                self._problems.append(f"{path}.keys: expected at least one key, got none")
        keys = []
        for where, pair in pairs:
            self._refuse_unknown(pair, KEY, where)
            values = self._settings(pair, KEY, where)
            if len(values) == len(KEY):
                keys.append(Key(**values))
        return tuple(keys)

    def _webhook(self, table: Mapping[str, Any], path: str) -> WebhookEndpoint | None:
        self._refuse_unknown(table, WEBHOOK, path)
        values = self._settings(table, WEBHOOK, path)
        headers = self._headers(values.pop("headers", {}), f"{path}.headers")
        if "url" not in values or "events" not in values:
            return None
        return WebhookEndpoint(**values, headers=headers)

    def _headers(self, table: Mapping[str, Any], path: str) -> tuple[tuple[str, str], ...]:
        headers = []
        seen: set[str] = set()
        for name, value in table.items():
            if not rules.is_header_name(name) or name.lower() in seen:
                self._problems.append(
                    f"{path}: expected names of headers that are given once and not set by the "
                    f"server, got {rules.show(name)}"
                )
                continue
            seen.add(name.lower())
            text = self._value(
                value, Setting(rules.HEADER_VALUE, "", secret=True), f"{path}.{name}"
            )
            if text is not None:
                headers.append((name, text))
        return tuple(headers)

    def _settings(
        self, table: Mapping[str, Any], settings: Mapping[str, Setting], path: str
    ) -> dict[str, Any]:
        """The values given in *table*; those missing are left to the defaults, if there are any."""
        values = {}
        for name, setting in settings.items():
            where = f"{path}.{name}"
            if name in table:
                value = self._value(table[name], setting, where)
                if value is not None:
                    values[name] = value
            elif setting.default is dataclasses.MISSING:
                self._problems.append(f"{where}: expected {setting.rule.expected}, got nothing")
        return values

    def _value(self, raw: Any, setting: Setting, path: str) -> Any | None:
        source = ""
        if isinstance(raw, Given):
            source = f" ({raw.source})"
            raw = setting.rule.parse(raw.text)
        if setting.secret and isinstance(raw, dict):
            raw = self._outside(raw, setting.rule, path)
            if raw is None:
                return None
        elif setting.secret and isinstance(raw, list):
            raw = [
                self._outside(one, setting.rule, f"{path}[{index}]")
                if isinstance(one, dict)
                else one
                for index, one in enumerate(raw)
            ]
            if None in raw:
                return None
        try:
            return setting.rule.read(raw)
        except Refused as refused:
            shown = setting.rule.show(refused.value)
            self._problems.append(f"{path}: expected {setting.rule.expected}, got {shown}{source}")
            return None

    def _outside(self, table: Mapping[str, Any], rule: Rule[Any], path: str) -> str | None:
        """A secret kept in a file or in a variable of the environment."""
        form = next(iter(table), "")
        name = table.get(form)
        if isinstance(name, Given):
            name = name.text
        if len(table) != 1 or form not in _SECRET_FORMS or not isinstance(name, str):
            self._problems.append(f"{path}: expected {rule.expected}, got another table")
            return None
        if form == "env":
            if name not in self._environ:
                self._problems.append(
                    f"{path}: expected the variable {rules.show(name)} to be set, it is not"
                )
            return self._environ.get(name)
        try:
            return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            self._problems.append(
                f"{path}: expected a file that can be read, got {rules.show(name)}: {reason}"
            )
            return None

    def _table(self, value: Any, path: str) -> Mapping[str, Any]:
        if isinstance(value, Given):
            value = rules.TABLE.parse(value.text)
        if isinstance(value, dict):
            return value
        self._problems.append(f"{path}: expected a table, got {rules.show_kind(value)}")
        return {}

    def _tables(self, value: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
        if isinstance(value, Given):
            value = rules.TABLE.parse(value.text)
        if not isinstance(value, list):
            self._problems.append(
                f"{path}: expected a list of tables, got {rules.show_kind(value)}"
            )
            return []
        return [
            (f"{path}[{index}]", self._table(table, f"{path}[{index}]"))
            for index, table in enumerate(value)
        ]

    def _refuse_unknown(
        self,
        table: Mapping[str, Any],
        known: Iterable[str],
        path: str,
        elsewhere: Iterable[str] = (),
    ) -> None:
        known = tuple(known)
        for name, value in table.items():
            if name in known:
                continue
            meant = nearest(name, known, elsewhere)
            if path and "." not in meant:
                meant = f"{path}.{meant}"
            key = f"{path}.{name}" if path else name
            source = f" ({value.source})" if isinstance(value, Given) else ""
            self._problems.append(f"{key}: unknown setting, did you mean {meant}?{source}")

    def _refuse_repeated(self, named: Iterable[tuple[str, str]]) -> None:
        first: dict[str, str] = {}
        for path, name in named:
            if name in first:
                self._problems.append(
                    f"{path}: expected one that no other has, got {rules.show(name)}, "
                    f"which is {first[name]}"
                )
            first.setdefault(name, path)
