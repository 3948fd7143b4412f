"""The code in the pages that can run here does what the page says."""

from __future__ import annotations

import shutil
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from compat.inbox import DEADLINE
from compat.serving import Server
from docs.pages import pages, snippet, snippets
from docs.running import (
    NODE_MODULES,
    Member,
    expect_line,
    output_of,
    printing,
    with_port,
    write_module,
)
from herenow import Channels
from herenow.config import load_config
from herenow.config.apps import check_settings
from herenow.store.sealing import new_key
from server.certificates import make_certificate

CONNECT: Final = "connect.md"
WALK: Final = "whos-online.md"
JARS: Final = NODE_MODULES.parent / "java" / "target" / "dependency" / "*"
IN_NODE: Final = "globalThis.window = globalThis;\n"
SECRETS: Final = {
    "CHANNELS_SECRET": "c",
    "OLD_SECRET": "o",
    "NEW_SECRET": "n",
    "STORE_KEY": new_key(),
}


def run_shell(text: str, directory: Path) -> str:
    for tool in ("bash", "curl", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return output_of(["bash", "-euo", "pipefail", "-c", text], directory)


def languages(page: str) -> set[str]:
    return {block.language for block in snippets(page)}


def write_java(directory: Path, imports: Sequence[str], text: str) -> Path:
    lines = [f"import {name};" for name in imports]
    lines += ["public final class Snippet {"]
    lines += ["public static void main(String[] arguments) throws Exception {", text, "}", "}"]
    source = directory / "Snippet.java"
    source.write_text("\n".join(lines), encoding="utf-8")
    return source


def expect_a_headline(command: Sequence[str], directory: Path, channels: Channels) -> None:
    """The program subscribes to ``news`` and prints what is published there."""
    with printing(command, directory) as lines:
        deadline = time.monotonic() + DEADLINE
        while not channels.channel("news")["occupied"]:
            assert time.monotonic() < deadline, lines.waiting()
            time.sleep(0.05)
        channels.trigger("news", "headline", {"text": "hello"})
        expect_line(lines, "hello")


def test_the_server_is_there(server: Server, directory: Path) -> None:
    answer = run_shell(with_port(snippet(CONNECT, "curl"), server), directory)
    assert answer.startswith("HTTP/1.1 426 ")
    assert answer.endswith("Upgrade required: connect with a WebSocket\n")


@pytest.mark.parametrize("title", ["pusher-js", "Laravel Echo"])
def test_clients_in_javascript(
    title: str, node: str, server: Server, channels: Channels, directory: Path
) -> None:
    module = write_module(directory, IN_NODE + with_port(snippet(CONNECT, title), server))
    expect_a_headline([node, str(module)], directory, channels)


def test_echo_with_the_broadcaster_reverb(
    node: str, server: Server, channels: Channels, directory: Path
) -> None:
    text = snippet(CONNECT, "Laravel Echo").replace('  cluster: "",\n', "")
    text = text.replace('broadcaster: "pusher"', 'broadcaster: "reverb"')
    assert "cluster" not in text
    assert "reverb" in text
    module = write_module(directory, IN_NODE + with_port(text, server))
    expect_a_headline([node, str(module)], directory, channels)


def test_pysher(server: Server, channels: Channels, directory: Path) -> None:
    text = with_port(snippet(CONNECT, "Pysher"), server)
    expect_a_headline([sys.executable, "-u", "-c", text], directory, channels)


def test_pusher_java_client(java: str, server: Server, channels: Channels, directory: Path) -> None:
    text = with_port(snippet(CONNECT, "pusher-java-client"), server)
    imports = ["com.pusher.client.Pusher", "com.pusher.client.PusherOptions"]
    source = write_java(directory, imports, f"{text}Thread.sleep(Long.MAX_VALUE);")
    expect_a_headline([java, "-cp", str(JARS), str(source)], directory, channels)


def test_pusher_for_node(node: str, server: Server, member: Member, directory: Path) -> None:
    member.join("news")
    module = write_module(directory, with_port(snippet(CONNECT, "pusher for Node"), server))
    output_of([node, str(module)], directory)
    assert member.hear("headline") == {"text": "hello"}


@pytest.mark.parametrize("title", ["herenow", "pusher for Python"])
def test_servers_in_python(title: str, server: Server, member: Member, directory: Path) -> None:
    member.join("news")
    output_of([sys.executable, "-c", with_port(snippet(CONNECT, title), server)], directory)
    assert member.hear("headline") == {"text": "hello"}


def test_pusher_http_java(java: str, server: Server, member: Member, directory: Path) -> None:
    member.join("news")
    imports = ["com.pusher.rest.Pusher", "com.pusher.rest.data.Result", "java.util.Map"]
    source = write_java(directory, imports, with_port(snippet(CONNECT, "pusher-http-java"), server))
    output_of([java, "-cp", str(JARS), str(source)], directory)
    assert member.hear("headline") == {"text": "hello"}


def test_pusher_http_go(go: str, server: Server, member: Member, directory: Path) -> None:
    member.join("news")
    for name in ("go.mod", "go.sum"):
        shutil.copy(NODE_MODULES.parent / "go" / name, directory)
    text = with_port(snippet(CONNECT, "pusher-http-go"), server)
    program = (
        'package main\n\nimport "github.com/pusher/pusher-http-go/v5"\n\n'
        f"func main() {{\n{text}\tif err != nil {{\n\t\tpanic(err)\n\t}}\n}}\n"
    )
    (directory / "main.go").write_text(program, encoding="utf-8")
    output_of([go, "run", "."], directory)
    assert member.hear("headline") == {"text": "hello"}


def test_a_signed_request(server: Server, member: Member, directory: Path) -> None:
    member.join("news")
    answer = run_shell(with_port(snippet(CONNECT, "signed request"), server), directory)
    assert answer == "{}"
    assert member.hear("headline") == {"text": "hello"}


def test_a_signed_get_request(server: Server, member: Member, directory: Path) -> None:
    member.join("presence-room", "emily")
    answer = run_shell(with_port(snippet(CONNECT, "signed GET request"), server), directory)
    assert answer == '{"channels":{"presence-room":{"user_count":1}}}'


def test_who_is_there_in_node(node: str, server: Server, member: Member, directory: Path) -> None:
    member.join("presence-gaming", "emily")
    text = snippet(CONNECT, "pusher for Node") + snippet(WALK, "who is there", "js")
    module = write_module(directory, with_port(text, server))
    assert output_of([node, str(module)], directory) == "{ users: [ { id: 'emily' } ] }\n"


def test_who_is_there_in_python(server: Server, member: Member, directory: Path) -> None:
    member.join("presence-gaming", "emily")
    asked = snippet(WALK, "who is there", "python")
    text = f"""
import asyncio
from herenow import AsyncChannels

async def main():
    async with AsyncChannels("1", "herenow-key", "herenow-secret", port=6001) as channels:
        {asked}
asyncio.run(main())
"""
    answer = output_of([sys.executable, "-c", with_port(text, server)], directory)
    assert answer == "{'users': [{'id': 'emily'}]}\n"


APP_SETTINGS = "chat.toml"
"""The settings of one application, for ``herenow apps create --settings``."""


@pytest.mark.parametrize("page", [page for page in pages() if "toml" in languages(page)])
def test_configurations_are_accepted(page: str, directory: Path) -> None:
    certificate, key = make_certificate(directory)
    for number, block in enumerate(snippets(page)):
        if block.title == APP_SETTINGS:
            assert check_settings(tomllib.loads(block.text), {})
        elif block.language == "toml":
            file = directory / f"{number}.toml"
            text = block.text.replace("/etc/herenow/fullchain.pem", str(certificate))
            text = text.replace("/etc/herenow/privkey.pem", str(key))
            if "[[apps]]" not in text:
                text += '[[apps]]\nid = "1"\nkey = "k"\nsecret = "s"\n'
            file.write_text(text, encoding="utf-8")
            load_config(file, SECRETS)
