"""Reading the configuration."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herenow.apps.base import App, Key, Limits, WebhookEndpoint
from herenow.config import Config, ConfigError, is_loopback, load_config, reference, settings

APP = '[[apps]]\nid = "42"\nkey = "k"\nsecret = "s"\n'
SEAL, OTHER_SEAL = (base64.b64encode(bytes([fill]) * 32).decode() for fill in (1, 2))
DOCUMENT = Path(__file__).resolve().parent.parent / "docs/configuration.md"


def read(
    tmp_path: Path,
    text: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Config:
    file = tmp_path / "herenow.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environ or {}, flags or {})


def problems(
    tmp_path: Path,
    text: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text, environ, flags)
    return raised.value.problems


def test_without_anything_the_defaults_hold() -> None:
    config = load_config()

    assert (config.server.host, config.server.port) == ("127.0.0.1", 6001)
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 9601)
    assert config.cluster.url == "memory://"
    assert config.limits == Limits()


def test_without_applications_there_is_the_default_one() -> None:
    config = load_config()

    assert config.default_app
    assert config.apps == (App("1", (Key("herenow-key", "herenow-secret"),), client_events=True),)


def test_the_default_application_keeps_the_configured_limits(tmp_path: Path) -> None:
    (app,) = read(tmp_path, "[limits]\nmax_presence_members = 7").apps

    assert app.limits.max_presence_members == 7


def test_a_configured_application_takes_the_place_of_the_default_one(tmp_path: Path) -> None:
    config = read(tmp_path, APP)

    assert not config.default_app
    assert config.apps == (App("42", (Key("k", "s"),)),)


def test_the_file_is_read_into_every_section(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [server]
        port = 0
        path_prefix = "/realtime"
        ping_interval_seconds = 0.25
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [admin]
        password = "open sesame"
        [cluster]
        hold_seconds = 1.5
        [webhooks]
        deny_networks = ["192.168.0.0/16"]
        """,
    )

    assert config.server.port == 0
    assert config.server.path_prefix == "/realtime"
    assert config.server.ping_interval_seconds == 0.25
    assert config.server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert config.admin.password == "open sesame"
    assert config.cluster.hold_seconds == 1.5
    assert config.webhooks.deny_networks == (ip_network("192.168.0.0/16"),)


def test_an_application_is_read_whole(tmp_path: Path) -> None:
    (app,) = read(
        tmp_path,
        """
        [limits]
        max_event_bytes = 0
        [[apps]]
        id = "chat"
        keys = [{ key = "old", secret = "s1" }, { key = "new", secret = "s2" }]
        client_events = true
        leave_grace_seconds = 0
        allowed_origins = ["https://example.com"]
        limits = { max_presence_members = 100 }
        [[apps.webhooks]]
        url = "https://example.com/hook"
        events = ["member_added", "member_removed"]
        headers = { "X-Team" = "chat" }
        channel_name_starts_with = "presence-"
        """,
    ).apps

    assert app == App(
        "chat",
        (Key("old", "s1"), Key("new", "s2")),
        client_events=True,
        leave_grace_seconds=0,
        allowed_origins=("https://example.com",),
        limits=Limits(max_event_bytes=0, max_presence_members=100),
        webhooks=(
            WebhookEndpoint(
                "https://example.com/hook",
                ("member_added", "member_removed"),
                (("X-Team", "chat"),),
                "presence-",
            ),
        ),
    )


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    text = "[server]\nport = 1\n[admin]\nport = 2\n[cluster]\npartitions = 3"
    environ = {"HERENOW_SERVER__PORT": "11", "HERENOW_ADMIN__PORT": "12"}
    flags = {"server.port": "21", "admin.port": None}

    config = read(tmp_path, text, environ, flags)

    assert (config.server.port, config.admin.port, config.cluster.partitions) == (21, 12, 3)


def test_every_key_outside_of_applications_can_be_given_in_the_environment(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    special = {
        "host": "127.0.0.2",
        "path_prefix": "/x",
        "compression": "True",
        "trusted_proxies": "10.0.0.0/8, ::1/128",
        "deny_networks": '["10.0.0.0/8"]',
        "tls_certificate": certificate,
        "tls_key": certificate,
        "password": "p",
        "prefix": "p",
        "secret_key": base64.b64encode(bytes(32)).decode(),
    }
    sections = {name: settings.settings_of(cls) for name, cls in settings.SECTIONS.items()}
    urls = {"cluster.url": "memory://", "store.url": "sqlite:///other.db"}
    environ: dict[str, str] = {}
    for section, keys in [*sections.items(), ("limits", settings.LIMITS)]:
        for key in keys:
            value = special.get(key) or urls.get(f"{section}.{key}") or str(1000 + len(environ))
            environ[f"HERENOW_{section.upper()}__{key.upper()}"] = value

    config = load_config(environ=environ)

    assert config.limits.events_per_second == int(environ["HERENOW_LIMITS__EVENTS_PER_SECOND"])
    for name, keys in sections.items():
        for key in keys.keys() - {"url", "trusted_proxies", "deny_networks", "secret_key"}:
            value = getattr(getattr(config, name), key)
            assert environ[f"HERENOW_{name.upper()}__{key.upper()}"] == f"{value}".removesuffix(
                ".0"
            )


def test_applications_are_counted_in_the_environment(tmp_path: Path) -> None:
    environ = {
        "HERENOW_APPS__0__LEAVE_GRACE_SECONDS": "0.5",
        "HERENOW_APPS__1__ID": "43",
        "HERENOW_APPS__1__KEYS__0__KEY": "k43",
        "HERENOW_APPS__1__KEYS__0__SECRET": "s43",
        "HERENOW_APPS__1__CLIENT_EVENTS": "yes",
        "HERENOW_APPS__1__LIMITS__MAX_CONNECTIONS": "5",
        "HERENOW_APPS__1__WEBHOOKS__0__URL": "http://127.0.0.1:9/",
        "HERENOW_APPS__1__WEBHOOKS__0__EVENTS": "cache_miss,client_event",
        "HERENOW_APPS__1__WEBHOOKS__0__HEADERS": '{"X-Team": "chat"}',
    }

    first, second = read(tmp_path, APP, environ).apps

    assert first.leave_grace_seconds == 0.5
    assert second.keys == (Key("k43", "s43"),)
    assert second.client_events
    assert second.limits.max_connections == 5
    assert second.webhooks == (
        WebhookEndpoint(
            "http://127.0.0.1:9/", ("cache_miss", "client_event"), (("X-Team", "chat"),)
        ),
    )


def test_more_than_ten_applications_keep_their_order_in_the_environment() -> None:
    environ = {}
    for index in range(12):
        environ[f"HERENOW_APPS__{index}__ID"] = str(index)
        environ[f"HERENOW_APPS__{index}__KEY"] = f"k{index}"
        environ[f"HERENOW_APPS__{index}__SECRET"] = "s"

    assert [app.id for app in load_config(environ=environ).apps] == [str(i) for i in range(12)]


def test_a_gap_in_the_count_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, APP, {"HERENOW_APPS__2__ID": "x"})

    assert problem.startswith("HERENOW_APPS__2__ID: ")


PUSHER = {"PUSHER_APP_ID": "42", "PUSHER_APP_KEY": "pk", "PUSHER_APP_SECRET": "ps"}


def test_the_variables_of_pusher_define_an_application(tmp_path: Path) -> None:
    assert [app.id for app in read(tmp_path, APP.replace("42", "41"), PUSHER).apps] == ["41", "42"]
    assert load_config(environ=PUSHER).apps == (App("42", (Key("pk", "ps"),)),)


def test_the_variables_of_pusher_win_over_the_keys_of_that_application(tmp_path: Path) -> None:
    text = '[[apps]]\nid = "42"\nkeys = [{ key = "k", secret = "s" }]\nclient_events = true'

    assert read(tmp_path, text, PUSHER).apps == (App("42", (Key("pk", "ps"),), client_events=True),)


def test_the_application_of_pushers_variables_can_be_set_further() -> None:
    (app,) = load_config(environ={**PUSHER, "HERENOW_APPS__0__CLIENT_EVENTS": "true"}).apps

    assert app.client_events


def test_the_variables_of_pusher_belong_together(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "", {**PUSHER, "PUSHER_APP_SECRET": ""})

    assert problem == "PUSHER_APP_SECRET: expected a text, since PUSHER_APP_ID is set"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, ending: str) -> None:
    (tmp_path / "secret").write_bytes(f"from a file{ending}".encode())
    text = APP.replace('"s"', f'{{ file = "{tmp_path / "secret"}" }}')

    assert read(tmp_path, text).apps[0].secret_of("k") == "from a file"


def test_a_secret_may_stand_in_a_variable(tmp_path: Path) -> None:
    text = APP.replace('"s"', '{ env = "CHAT_SECRET" }')

    assert read(tmp_path, text, {"CHAT_SECRET": "x"}).apps[0].secret_of("k") == "x"


def test_a_header_of_a_webhook_may_stand_in_a_variable(tmp_path: Path) -> None:
    text = (
        APP + '[[apps.webhooks]]\nurl = "http://h/"\nevents = ["cache_miss"]\n'
        'headers = { Authorization = { env = "HOOK" } }'
    )

    (webhook,) = read(tmp_path, text, {"HOOK": "Bearer x"}).apps[0].webhooks
    assert webhook.headers == (("Authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ('{ env = "NOT_THERE" }', 'expected the variable "NOT_THERE" to be set, it is not'),
        ('{ file = "/not/there" }', "No such file or directory"),
        ('{ path = "/x" }', "got another table"),
        ('{ env = "X", file = "/x" }', "got another table"),
        ('{ env = "EMPTY" }', "got an empty text"),
        ('""', "got an empty text"),
        ("5", "got an integer"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named(tmp_path: Path, form: str, reason: str) -> None:
    (problem,) = problems(tmp_path, APP.replace('"s"', form), {"EMPTY": ""})

    assert problem.startswith("apps[0].secret: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[server]\nport = "abc"',
            'server.port: expected an integer from 0 to 65535, got "abc"',
        ),
        ("[server]\nport = 65536", "server.port: expected an integer from 0 to 65535, got 65536"),
        ("[server]\nport = true", "server.port: expected an integer from 0 to 65535, got true"),
        ("[server]\nport = 1.5", "server.port: expected an integer from 0 to 65535, got 1.5"),
        (
            "[limits]\nmax_connections = -1",
            "limits.max_connections: expected an integer of at least 0, got -1",
        ),
        (
            "[webhooks]\nhold_seconds = nan",
            "webhooks.hold_seconds: expected a number of seconds of 0 or more,"
            " at most ten years, got nan",
        ),
        (
            "[server]\nping_interval_seconds = 0",
            "server.ping_interval_seconds: expected a number of seconds greater than 0,"
            " at most ten years, got 0",
        ),
        (
            '[server]\ntrusted_proxies = ["10.0.0.1/8"]',
            'server.trusted_proxies: expected a list of networks such as "10.0.0.0/8", '
            'got "10.0.0.1/8"',
        ),
        (
            '[server]\nhost = "127.0.0"',
            'server.host: expected an IP address or a host name, got "127.0.0"',
        ),
        (
            '[server]\npath_prefix = "x/"',
            'server.path_prefix: expected an empty text or a path such as "/realtime", without a '
            'slash at its end, got "x/"',
        ),
        ("server = 5", "server: expected a table, got an integer"),
        ("apps = 5", "apps: expected a list of tables, got an integer"),
        (
            '[cluster]\nurl = "nats://:hidden@h"',
            'cluster.url: expected "memory://", or a URL that begins with redis://, rediss://, '
            "redis+sentinel://, rediss+sentinel://, redis+cluster://, rediss+cluster:// or "
            'unix://, { file = … } or { env = … }, got "nats://…"',
        ),
        (
            '[store]\nurl = "postgres://h"',
            'store.url: expected "sqlite:///" and a file name, a URL that begins with '
            "postgresql:// or mysql://, { file = … } or { env = … }, "
            'got "postgres://…"',
        ),
        (
            '[store]\nsecret_key = "c2hvcnQ="',
            "store.secret_key: expected 32 bytes in base64, { file = … } or { env = … }, or a list "
            "of these, got a text",
        ),
        (
            f'[store]\nsecret_key = ["{SEAL}", "short"]',
            "store.secret_key: expected 32 bytes in base64, { file = … } or { env = … }, or a list "
            "of these, got a text",
        ),
        (
            "[admin]\nport = 6001",
            "admin.port: expected another port than server.port, got 6001",
        ),
        (
            APP + "enabled = 1",
            "apps[0].enabled: expected true or false, got 1",
        ),
        (
            APP.replace('"42"', '"a b"'),
            'apps[0].id: expected 1 to 64 characters of A-Z, a-z, 0-9, _ and -, got "a b"',
        ),
        (
            '[[apps]]\nkey = "k"\nsecret = "s"',
            "apps[0].id: expected 1 to 64 characters of A-Z, a-z, 0-9, _ and -, got nothing",
        ),
        (
            '[[apps]]\nid = "1"\nkey = "k"',
            "apps[0].secret: expected a text that is not empty, { file = … } or { env = … }, "
            "got nothing",
        ),
        (
            APP + 'keys = [{ key = "a", secret = "b" }]',
            "apps[0]: expected key and secret, or keys, got both",
        ),
        (
            '[[apps]]\nid = "1"\nkeys = []',
            "apps[0].keys: expected at least one key, got none",
        ),
        (
            APP + APP.replace('"k"', '"k2"'),
            'apps[1].id: expected one that no other has, got "42", which is apps[0].id',
        ),
        (
            APP + APP.replace('"42"', '"43"'),
            'apps[1].key: expected one that no other has, got "k", which is apps[0].key',
        ),
        (
            APP + "limits = { max_watchlist = 1.5 }",
            "apps[0].limits.max_watchlist: expected an integer of at least 0, got 1.5",
        ),
    ],
)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == (problem,)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://h/", '"ftp://h/"'),
        ("http:///x", '"http:///x"'),
        ("http://h:99999/", '"http://h:99999/"'),
        ("http://user:hidden@h/?token=hidden", '"http://…@h/"'),
        ("http://h/#x", '"http://h/#x"'),
        ("http://h /", '"http://h /"'),
    ],
)
def test_a_webhook_needs_a_plain_url(tmp_path: Path, url: str, shown: str) -> None:
    text = f'{APP}[[apps.webhooks]]\nurl = "{url}"\nevents = ["cache_miss"]'

    assert problems(tmp_path, text) == (
        "apps[0].webhooks[0].url: expected an http or https URL without credentials and fragment, "
        f"got {shown}",
    )


@pytest.mark.parametrize(
    "headers",
    [
        '"X Team" = "x"',
        'Host = "x"',
        'connection = "close"',
        '"Content-MD5" = "x"',
        '"Transfer-Encoding" = "chunked"',
        '"X-Pusher-Key" = "x"',
        '"x-herenow-signature" = "x"',
        '"X-A" = "1", "x-a" = "2"',
    ],
)
def test_a_webhook_refuses_names_of_headers(tmp_path: Path, headers: str) -> None:
    text = (
        f'{APP}[[apps.webhooks]]\nurl = "http://h/"\nevents = ["cache_miss"]\n'
        f"headers = {{ {headers} }}"
    )

    (problem,) = problems(tmp_path, text)
    assert problem.startswith("apps[0].webhooks[0].headers: ")


def test_a_webhook_refuses_a_header_that_would_split_the_request(tmp_path: Path) -> None:
    text = (
        f'{APP}[[apps.webhooks]]\nurl = "http://h/"\nevents = ["cache_miss"]\n'
        'headers = { "X-A" = "hidden\\r\\nX-B: hidden" }'
    )

    (problem,) = problems(tmp_path, text)
    assert problem.startswith("apps[0].webhooks[0].headers.X-A: ")
    assert "hidden" not in problem


def test_a_webhook_names_its_events(tmp_path: Path) -> None:
    text = f'{APP}[[apps.webhooks]]\nurl = "http://h/"\nevents = ["member_add"]'

    (problem,) = problems(tmp_path, text)
    assert problem.startswith("apps[0].webhooks[0].events: ")
    assert problem.endswith('got "member_add"')


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("[server]\nprot = 1", "server.prot", "server.port"),
        ("[sever]\nport = 1", "sever", "server"),
        ("port = 1", "port", "server.port"),
        ("[server]\npartitions = 1", "server.partitions", "cluster.partitions"),
        ("[limits]\nmax_conections = 1", "limits.max_conections", "limits.max_connections"),
        (APP + "client_event = true", "apps[0].client_event", "apps[0].client_events"),
        (
            APP + "limits = { watchlist = 1 }",
            "apps[0].limits.watchlist",
            "apps[0].limits.max_watchlist",
        ),
    ],
)
def test_an_unknown_key_is_told_the_nearest(
    tmp_path: Path, text: str, key: str, meant: str
) -> None:
    assert problems(tmp_path, text) == (f"{key}: unknown setting, did you mean {meant}?",)


@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        (
            "HERENOW_SERVER__PROT",
            "server.prot: unknown setting, did you mean server.port? (HERENOW_SERVER__PROT)",
        ),
        (
            "HERENOW_SERVER_PORT",
            "HERENOW_SERVER_PORT: unknown variable, did you mean HERENOW_SERVER__PORT?",
        ),
        ("HERENOW_PORT", "HERENOW_PORT: unknown variable, did you mean HERENOW_SERVER__PORT?"),
    ],
)
def test_an_unknown_variable_is_told_the_nearest(
    tmp_path: Path, variable: str, problem: str
) -> None:
    assert problems(tmp_path, "", {variable: "1"}) == (problem,)


def test_a_value_of_the_environment_is_named_with_its_variable(tmp_path: Path) -> None:
    assert problems(tmp_path, "", {"HERENOW_SERVER__PORT": "x"}) == (
        'server.port: expected an integer from 0 to 65535, got "x" (HERENOW_SERVER__PORT)',
    )


def test_service_links_of_kubernetes_are_no_settings() -> None:
    environ = {
        "HERENOW_SERVICE_HOST": "10.0.0.1",
        "HERENOW_SERVICE_PORT": "6001",
        "HERENOW_SERVICE_PORT_WS": "6001",
        "HERENOW_PORT": "tcp://10.0.0.1:6001",
        "HERENOW_PORT_6001_TCP": "tcp://10.0.0.1:6001",
        "HERENOW_PORT_6001_TCP_ADDR": "10.0.0.1",
        "HERENOW_ADMIN_SERVICE_HOST": "10.0.0.2",
        "HERENOW_ADMIN_PORT": "tcp://10.0.0.2:9601",
    }

    assert load_config(environ=environ) == load_config()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, "[server]\nport = -1\nprot = 1\n[admin]\nhost = ''", {"HERENOW_X": "1"}
    )

    assert [problem.partition(":")[0] for problem in found] == [
        "HERENOW_X",
        "server.prot",
        "server.port",
        "admin.host",
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_the_default_application_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    (problem,) = problems(tmp_path, "", flags={"server.host": host})

    assert problem.startswith("server.host: ")
    assert "PUSHER_APP_ID" in problem
    assert read(tmp_path, APP, flags={"server.host": host}).server.host == host


def test_the_key_that_everybody_knows_stays_on_this_machine(tmp_path: Path) -> None:
    text = '[[apps]]\nid = "9"\nkey = "herenow-key"\nsecret = "herenow-secret"'

    assert problems(tmp_path, text, flags={"server.host": "0.0.0.0"})
    assert not read(tmp_path, text).default_app


def test_the_admin_port_needs_a_password_off_this_machine(tmp_path: Path) -> None:
    assert problems(tmp_path, APP, flags={"admin.host": "0.0.0.0"}) == (
        "admin.host: expected a loopback address while there is no admin.password, "
        'got "0.0.0.0": set admin.password',
    )
    assert read(tmp_path, APP + '[admin]\nhost = "0.0.0.0"\npassword = "x"').admin.password == "x"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:8.8.8.8", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def make_certificate(directory: Path) -> str:
    """A file with a key and a certificate for it."""
    file = directory / f"{len(list(directory.iterdir()))}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-days", "1", "-keyout", "-", "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(made.stdout)
    return str(file)


def test_certificate_and_key_must_fit(tmp_path: Path) -> None:
    one, other = make_certificate(tmp_path), make_certificate(tmp_path)
    text = '[server]\ntls_certificate = "{}"\ntls_key = "{}"'

    assert read(tmp_path, text.format(one, one)).server.tls_key == one
    (problem,) = problems(tmp_path, text.format(one, other))
    assert problem.startswith("server.tls_certificate: expected a certificate whose key")


def test_certificate_and_key_must_be_there(tmp_path: Path) -> None:
    found = problems(tmp_path, '[server]\ntls_certificate = "/not/c"\ntls_key = "/not/k"')

    assert [problem.partition(":")[0] for problem in found] == [
        "server.tls_certificate",
        "server.tls_key",
    ]
    assert problems(tmp_path, '[server]\ntls_certificate = "/not/c"') == (
        "server.tls_key: expected a file, since server.tls_certificate is set, got none",
    )


def test_a_key_with_a_passphrase_is_refused_without_asking(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    sealed = tmp_path / "sealed.pem"
    command = ["openssl", "ec", "-in", certificate, "-aes128", "-passout", "pass:x"]
    subprocess.run([*command, "-out", str(sealed)], check=True, capture_output=True)

    (problem,) = problems(
        tmp_path, f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{sealed}"'
    )
    assert problem.startswith("server.tls_certificate: ")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"config: cannot read /not/there\.toml: No such"):
        load_config(Path("/not/there.toml"))


@pytest.mark.parametrize("content", [b"[server", b"\xff", b"a = " + b"[" * 100_000])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"config: .*bad\.toml"):
        load_config(file)


def test_secrets_do_not_show_in_what_is_printed(tmp_path: Path) -> None:
    secrets = '[admin]\npassword = "hidden"\n[cluster]\nurl = "redis://:hidden@h"\n'
    config = read(tmp_path, secrets + APP.replace('"s"', '"hidden"'))

    assert "hidden" not in repr(config)


@given(st.text(), st.text())
def test_no_text_of_the_environment_is_a_crash(section: str, text: str) -> None:
    names = [f"HERENOW_{section.upper()}", "HERENOW_APPS__0__WEBHOOKS", "HERENOW_SERVER__PORT"]
    names += ["HERENOW_SERVER__TRUSTED_PROXIES", "HERENOW_SERVER", "HERENOW_SERVER__HOST"]
    for name in names:
        try:
            load_config(environ={name: text})
        except ConfigError as error:
            told = error.problems
        else:
            told = ()
        assert all(problem.isprintable() for problem in told)


def test_every_setting_of_an_application_is_known() -> None:
    of_app = {part.name for part in dataclasses.fields(App)}
    of_webhook = {part.name for part in dataclasses.fields(WebhookEndpoint)}

    assert of_app == settings.APP.keys() | {"keys", "limits", "webhooks"}
    assert of_webhook == settings.WEBHOOK.keys()
    assert {part.name for part in dataclasses.fields(Limits)} == settings.LIMITS.keys()


def test_the_configuration_reference_is_current() -> None:
    """``make docs`` writes it anew."""
    assert DOCUMENT.read_text(encoding="utf-8") == reference.render()


@pytest.mark.parametrize(
    ("value", "environ"),
    [
        (f'"{SEAL}, {OTHER_SEAL}"', {}),
        (f'["{SEAL}", "{OTHER_SEAL}"]', {}),
        (f'["{SEAL}", {{ env = "OTHER" }}]', {"OTHER": OTHER_SEAL}),
        ('{ env = "BOTH" }', {"BOTH": f"{SEAL},{OTHER_SEAL}"}),
        (f'"{SEAL}"', {"HERENOW_STORE__SECRET_KEY": f"{SEAL},{OTHER_SEAL}"}),
    ],
)
def test_several_keys_may_seal_the_store(
    tmp_path: Path, value: str, environ: dict[str, str]
) -> None:
    """They keep their order, in whatever way they are given."""
    config = read(tmp_path, f"[store]\nsecret_key = {value}\n", environ)
    assert config.store.secret_key == (SEAL, OTHER_SEAL)
    assert SEAL not in repr(config)


def test_several_keys_may_stand_in_a_file(tmp_path: Path) -> None:
    """One a line."""
    (tmp_path / "keys").write_text(f"{SEAL}\n{OTHER_SEAL}\n")
    config = read(tmp_path, f'[store]\nsecret_key = {{ file = "{tmp_path / "keys"}" }}\n')
    assert config.store.secret_key == (SEAL, OTHER_SEAL)


def test_with_a_key_that_seals_there_is_no_default_application(tmp_path: Path) -> None:
    """Applications are made at run time then, so the server may be reached from elsewhere."""
    text = f'[server]\nhost = "0.0.0.0"\n[store]\nsecret_key = "{SEAL}"\n'
    config = read(tmp_path, text)
    assert not config.default_app
    assert config.apps == ()


def test_the_password_of_a_store_is_not_shown(tmp_path: Path) -> None:
    """Neither in the configuration nor in an error."""
    url = "postgresql://user:marked-password@host/name"
    assert "marked-password" not in repr(read(tmp_path, f'[store]\nurl = "{url}"\n'))
    told = problems(tmp_path, f'[store]\nurl = "{url.replace("postgresql", "oracle")}"\n')
    assert "marked-password" not in str(told)
