"""The libraries that the tests run, and what each kind of library is asked to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
NODE_MODULES: Final = HERE / "node_modules"
JARS: Final = HERE / "java" / "target" / "dependency"
GO_BACKEND: Final = HERE / "go" / "build" / "backend"

CLIENT: Final = "client"
SERVER: Final = "server"

FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    CLIENT: (
        "connect",
        "public channel",
        "private channel",
        "presence channel",
        "encrypted channel",
        "cache channel",
        "client event",
        "subscription count",
        "refused subscription",
        "sign-in",
        "watchlist",
        "reconnect after 4200",
    ),
    SERVER: (
        "trigger",
        "trigger on several channels",
        "trigger without one socket",
        "trigger with info",
        "trigger a batch",
        "trigger encrypted",
        "channels",
        "channel",
        "users of a channel",
        "send to a user",
        "terminate connections",
        "authorize a channel",
        "authenticate a user",
        "accept a webhook",
        "refuse a forged webhook",
        "refuse an old webhook",
        "refusals",
    ),
}
"""The rows of each table."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """A column: *package* is the installed one, whose name may be an alias of the registry's."""

    name: str
    kind: str
    package: str
    find_version: Callable[[str], str | None]

    def version(self) -> str | None:
        """The installed version; ``None`` if it is not installed."""
        return self.find_version(self.package)


def _npm(package: str) -> str | None:
    manifest = NODE_MODULES / package / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else None


def _pypi(package: str) -> str | None:
    return metadata.version(package)


def _maven(artifact: str) -> str | None:
    versions = [jar.stem.removeprefix(f"{artifact}-") for jar in JARS.glob(f"{artifact}-*.jar")]
    return versions[0] if versions else None


def _go(module: str) -> str | None:
    if not GO_BACKEND.exists():
        return None
    words = (HERE / "go" / "go.mod").read_text().split()
    return words[words.index(module) + 1].removeprefix("v")


PUSHER_JS: Final = Sdk("pusher-js", CLIENT, "pusher-js", _npm)
PUSHER_JS_7: Final = Sdk("pusher-js 7", CLIENT, "pusher-js-7", _npm)
PUSHER_JS_5: Final = Sdk("pusher-js 5", CLIENT, "pusher-js-5", _npm)
PUSHER_JS_4: Final = Sdk("pusher-js 4", CLIENT, "pusher-js-4", _npm)
ECHO_PUSHER: Final = Sdk("Laravel Echo, `pusher`", CLIENT, "laravel-echo", _npm)
ECHO_REVERB: Final = Sdk("Laravel Echo, `reverb`", CLIENT, "laravel-echo", _npm)
JAVA_CLIENT: Final = Sdk("pusher-java-client", CLIENT, "pusher-java-client", _maven)
PYSHER: Final = Sdk("Pysher", CLIENT, "pysher", _pypi)

PUSHER_NODE: Final = Sdk("pusher (npm)", SERVER, "pusher", _npm)
PUSHER_PYTHON: Final = Sdk("pusher (PyPI)", SERVER, "pusher", _pypi)
PUSHER_HTTP_JAVA: Final = Sdk("pusher-http-java", SERVER, "pusher-http-java", _maven)
PUSHER_HTTP_GO: Final = Sdk("pusher-http-go", SERVER, "github.com/pusher/pusher-http-go/v5", _go)

SDKS: Final = (
    PUSHER_JS,
    PUSHER_JS_7,
    PUSHER_JS_5,
    PUSHER_JS_4,
    ECHO_PUSHER,
    ECHO_REVERB,
    JAVA_CLIENT,
    PYSHER,
    PUSHER_NODE,
    PUSHER_PYTHON,
    PUSHER_HTTP_JAVA,
    PUSHER_HTTP_GO,
)

NOT_RUN: Final[Mapping[str, str]] = {
    "pusher-http-php": "needs PHP with Composer",
    "pusher-http-ruby": "needs Ruby with Bundler",
    "pusher-http-dotnet": "needs the .NET SDK with NuGet",
    "pusher-http-swift": "needs Swift with its package manager",
    "pusher-websocket-dotnet": "needs the .NET SDK with NuGet",
    "pusher-websocket-swift": "needs Swift with its package manager",
    "pusher-channels-flutter": "needs a device with Android or iOS, or an emulator",
    "pusher-websocket-react-native": "needs a device with Android or iOS, or an emulator",
}
"""Official libraries without a column, and why."""
