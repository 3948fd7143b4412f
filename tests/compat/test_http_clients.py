"""The HTTP clients that applications use, each against the public port."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from server.port import Port, running_port

BODY = '{"name":"greeting","channel":"room","data":"\\u00e4"}' + " " * 3000
NEEDED_SECONDS = 60

JAVA = """
    import java.net.URI;
    import java.net.http.HttpClient;
    import java.net.http.HttpRequest;
    import java.net.http.HttpResponse.BodyHandlers;
    import java.nio.file.Path;

    public class Client {
        public static void main(String[] arguments) throws Exception {
            HttpClient client = HttpClient.newHttpClient();
            URI base = URI.create(arguments[0]);
            for (int i = 0; i < 3; i++) {
                HttpRequest post = HttpRequest.newBuilder(base.resolve("/echo"))
                    .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[1])))
                    .header("Content-Type", "application/json").build();
                System.out.print(client.send(post, BodyHandlers.ofString()).body());
                HttpRequest expecting = HttpRequest.newBuilder(base.resolve("/echo"))
                    .expectContinue(true)
                    .POST(HttpRequest.BodyPublishers.ofString("expected\\n")).build();
                System.out.print(client.send(expecting, BodyHandlers.ofString()).body());
                HttpRequest get = HttpRequest.newBuilder(base.resolve("/hello")).build();
                System.out.println(client.send(get, BodyHandlers.ofString()).body());
            }
        }
    }
"""
FETCH = """
    const { readFileSync } = require("node:fs");
    const [base, file] = process.argv.slice(2);
    (async () => {
      for (let i = 0; i < 3; i++) {
        const post = { method: "POST", body: readFileSync(file) };
        process.stdout.write(await (await fetch(`${base}/echo`, post)).text());
        console.log(await (await fetch(`${base}/hello`)).text());
      }
    })();
"""
AGENT = """
    const http = require("node:http");
    const { readFileSync } = require("node:fs");
    const [base, file] = process.argv.slice(2);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const send = (method, path, body) => new Promise((resolve, reject) => {
      const request = http.request(base + path, { method, agent }, (response) => {
        let text = "";
        response.on("data", (part) => { text += part; });
        response.on("end", () => resolve(text));
      });
      request.on("error", reject);
      request.end(body);
    });
    (async () => {
      for (let i = 0; i < 3; i++) {
        process.stdout.write(await send("POST", "/echo", readFileSync(file)));
        console.log(await send("GET", "/hello"));
      }
      agent.destroy();
    })();
"""


@pytest.fixture
def port() -> Iterator[Port]:
    with running_port() as port:
        yield port


@pytest.fixture
def base(port: Port) -> str:
    return f"http://127.0.0.1:{port.number}"


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text(BODY + "\n")
    return path


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output_of(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=NEEDED_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_posts_and_gets(base: str, body_file: Path) -> None:
    curl = (tool("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*")
    posted = output_of(*curl, "--data-binary", f"@{body_file}", f"{base}/echo")
    assert posted == BODY + "\n"
    assert output_of(*curl, f"{base}/hello", f"{base}/hello") == "{}{}"


@pytest.mark.parametrize(
    "options",
    [
        ("--header", "Transfer-Encoding: chunked"),
        ("--header", "Expect: 100-continue"),
        ("--http1.0",),
        ("--http2",),
        ("--header", "Connection: close"),
    ],
    ids=["chunked", "expect", "1.0", "h2c", "close"],
)
def test_curl_posts_in_other_ways(base: str, body_file: Path, options: tuple[str, ...]) -> None:
    """``--http2`` asks for h2c with the request, as Java's client does."""
    curl = (tool("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*")
    posted = output_of(*curl, *options, "--data-binary", f"@{body_file}", f"{base}/echo")
    assert posted == BODY + "\n"


def test_curl_asks_for_the_head(base: str) -> None:
    curl = (tool("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*")
    head = output_of(*curl, "--head", f"{base}/hello", f"{base}/hello")
    assert head.count("HTTP/1.1 200 OK") == 2
    assert head.count("Content-Length: 2") == 2


def test_curl_reads_why_its_body_was_refused(port: Port, base: str, tmp_path: Path) -> None:
    too_large = tmp_path / "large"
    too_large.write_bytes(b"x" * 3_000_000)
    curl = (tool("curl"), "--silent", "--show-error", "--noproxy", "*")
    answer = output_of(*curl, "--data-binary", f"@{too_large}", f"{base}/echo")
    assert answer == "Request body is larger than 1048576 bytes\n"


def test_java_posts_and_gets(port: Port, base: str, body_file: Path, tmp_path: Path) -> None:
    """Its client asks for an upgrade to h2c with every POST on a plain connection."""
    source = tmp_path / "Client.java"
    source.write_text(textwrap.dedent(JAVA))
    printed = output_of(tool("java"), source, base, body_file)
    assert printed == f"{BODY}\nexpected\n{{}}\n" * 3


@pytest.mark.parametrize("script", [FETCH, AGENT], ids=["fetch", "agent"])
def test_node_posts_and_gets(base: str, body_file: Path, tmp_path: Path, script: str) -> None:
    program = tmp_path / "client.cjs"
    program.write_text(textwrap.dedent(script))
    assert output_of(tool("node"), program, base, body_file) == f"{BODY}\n{{}}\n" * 3


def test_nodes_agent_keeps_its_connection(
    port: Port, base: str, body_file: Path, tmp_path: Path
) -> None:
    program = tmp_path / "client.cjs"
    program.write_text(textwrap.dedent(AGENT))
    output_of(tool("node"), program, base, body_file)
    assert len(port.admitted) == 1


def test_urllib_posts_and_gets(base: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{base}/echo", BODY.encode(), 10) as answer:
        assert answer.read() == BODY.encode()
    with opener.open(f"{base}/hello", timeout=10) as answer:
        assert answer.read() == b"{}"


def test_httpx2_posts_and_gets_on_one_connection(port: Port, base: str) -> None:
    with httpx2.Client(base_url=base, trust_env=False) as client:
        for _ in range(3):
            assert client.post("/echo", content=BODY.encode()).text == BODY
            parts = (BODY[:1000].encode(), BODY[1000:].encode())
            assert client.post("/echo", content=iter(parts)).text == BODY
            assert client.get("/hello").json() == {}
            assert client.options("/echo").headers["allow"] == "POST, PUT"
    assert len(port.admitted) == 1


def test_http_client_posts_an_iterable(base: str) -> None:
    """The standard library sends a body of unknown length in chunks."""
    program = textwrap.dedent(
        """
        import http.client, sys
        connection = http.client.HTTPConnection(sys.argv[1].partition("//")[2], timeout=10)
        for _ in range(2):
            connection.request("POST", "/echo", iter([b"one,", b"two"]), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})
            print(connection.getresponse().read().decode())
        connection.close()
        """
    )
    assert output_of(sys.executable, "-c", program, base) == "one,two\n" * 2
