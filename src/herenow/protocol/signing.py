"""Signatures of subscriptions, sign-ins and API requests (protocol reference §8 and §16)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from hashlib import _Hash

TIMESTAMP_TOLERANCE_SECONDS: Final = 600

SecretOf = Callable[[str], str | None]
Parameters = Mapping[str, str | list[str]]

_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_PLAIN_QUERY: Final = re.compile(
    r"(auth_key=([^&%+]+)&auth_timestamp=([0-9]{1,20})&auth_version=1\.0&body_md5=([0-9a-f]{32}))"
    r"&auth_signature=([0-9a-f]{64})"
)


class InvalidSignature(Exception):
    """An authentication that does not hold; ``reason``, without the signature, is fit for a log."""

    def __init__(self, reason: str, got: str = "") -> None:
        super().__init__(reason + got)
        self.reason = reason


def hex_digest(secret: str, message: str | bytes) -> str:
    """HMAC-SHA256 of *message* as 64 lower-case hex digits."""
    if isinstance(message, str):
        message = message.encode("utf-8", "surrogatepass")
    inner, outer = _prepared(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=1024)
def _prepared(secret: str) -> tuple[_Hash, _Hash]:
    """The two hashes of RFC 2104 with the key taken in: most of the work of a short message."""
    key = secret.encode()
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))


def forget_secrets() -> None:
    """Keep no secret that may have been withdrawn."""
    _prepared.cache_clear()


def channel_string(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """What the application's backend signs to let a connection join a channel."""
    if channel_data is None:
        return f"{socket_id}:{channel}"
    return f"{socket_id}:{channel}:{channel_data}"


def user_string(socket_id: str, user_data: str) -> str:
    """What the application's backend signs to let a connection sign in."""
    return f"{socket_id}::user::{user_data}"


def verify_auth(auth: object, string: str, secret_of: SecretOf) -> None:
    """Check that *auth*, ``key:hex``, signs *string*; raises :class:`InvalidSignature` if not."""
    key, separator, digest = auth.partition(":") if isinstance(auth, str) else ("", "", "")
    if not separator:
        raise InvalidSignature("Invalid format: auth must have the format key:signature")
    secret = secret_of(key)
    if secret is None:
        # Key and signature swapped: a signature is for no log.
        shown = "" if _DIGEST.search(key) else f": '{key}'"
        text = "Invalid key in subscription auth data"
        raise InvalidSignature(text + shown, "" if shown else f": '{key}'")
    if not _same_digest(digest, hex_digest(secret, string)):
        expected = f"Invalid signature: Expected HMAC SHA256 hex digest of {string}"
        raise InvalidSignature(expected, f", but got {digest}")


def _same_digest(digest: str, expected: str) -> bool:
    return digest.isascii() and hmac.compare_digest(digest, expected)


def parse_query(query: str) -> dict[str, str | list[str]]:
    """The parameters of a query string, decoded once, keys in lower case.

    ``k[]=a&k[]=b`` gives a list under ``k[]``; of a repeated plain key the last value holds.
    """
    parameters: dict[str, str | list[str]] = {}
    if not ("%" in query or "+" in query or "[]" in query):
        for pair in query.split("&"):
            if pair:
                key, _, value = pair.partition("=")
                parameters[key.lower()] = value
        return parameters
    for pair in query.split("&"):
        if not pair:
            continue
        key, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            key = unquote_plus(key, errors="surrogateescape")
            value = unquote_plus(value, errors="surrogateescape")
        key = key.lower()
        if key.endswith("[]"):
            values = parameters.setdefault(key, [])
            assert isinstance(values, list)
            values.append(value)
        else:
            parameters[key] = value
    return parameters


def canonical_string(method: str, path: str, parameters: Parameters) -> str:
    """The string that an API request signs: method, path and sorted parameters joined by LF."""
    if "[]" in "".join(parameters):
        keys = sorted(parameters, key=lambda key: key.removesuffix("[]"))
    else:
        keys = sorted(parameters)
    pairs: list[str] = []
    for key in keys:
        if key == "auth_signature":
            continue
        value = parameters[key]
        if isinstance(value, str):
            pairs.append(f"{key}={value}")
        else:
            pairs.extend(f"{key}={item}" for item in value)
    return f"{method}\n{path}\n{'&'.join(pairs)}"


def is_plainly_signed(
    method: str, path: str, query: str, body: bytes, secret_of: SecretOf, now: float
) -> bool:
    """Whether an API request is signed as most clients sign what they publish, and rightly so.

    Their queries are written as they are signed: in order, and nothing in them is encoded. What
    is not is for :func:`verify_request`, which may let it pass all the same or says what is wrong.
    """
    plain = _PLAIN_QUERY.fullmatch(query)
    if plain is None:
        return False
    signed, key, timestamp, body_md5, signature = plain.groups()
    secret = secret_of(key)
    if secret is None or abs(int(timestamp) - int(now)) >= TIMESTAMP_TOLERANCE_SECONDS:
        return False
    string = f"{method}\n{path}\n{signed}".encode("utf-8", "surrogateescape")
    return hmac.compare_digest(signature, hex_digest(secret, string)) and hmac.compare_digest(
        body_md5, hashlib.md5(body, usedforsecurity=False).hexdigest()
    )


def verify_request(
    method: str,
    path: str,
    parameters: Parameters,
    body: bytes,
    secret_of: SecretOf,
    now: float,
    path_prefix: str = "",
) -> None:
    """Check an API request in the order of protocol reference §16.3.

    Raises :class:`InvalidSignature`, whose text is the answer's body.
    """
    key = _single(parameters, "auth_key")
    if not key:
        raise InvalidSignature("Missing parameter: auth_key")
    secret = secret_of(key)
    if secret is None:
        raise InvalidSignature("Unknown auth_key")
    version = _single(parameters, "auth_version")
    if not version:
        raise InvalidSignature("Version required")
    if version != "1.0":
        raise InvalidSignature("Version not supported")
    _check_timestamp(_single(parameters, "auth_timestamp"), now)
    _check_signature(method, path, parameters, secret, path_prefix)
    _check_body(_single(parameters, "body_md5"), body)


def _single(parameters: Parameters, name: str) -> str | None:
    value = parameters.get(name)
    return value if isinstance(value, str) else None


def _check_timestamp(given: str | None, now: float) -> None:
    if not given:
        raise InvalidSignature("Timestamp required")
    if _INTEGER.fullmatch(given) is None:
        raise InvalidSignature("Timestamp required: auth_timestamp must be Unix time in seconds")
    timestamp = int(given)
    if abs(timestamp - int(now)) >= TIMESTAMP_TOLERANCE_SECONDS:
        raise InvalidSignature(
            f"Timestamp expired: Given timestamp ({_iso(timestamp)}) not within "
            f"{TIMESTAMP_TOLERANCE_SECONDS}s of server time ({_iso(int(now))})"
        )


def _iso(timestamp: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def _check_signature(
    method: str, path: str, parameters: Parameters, secret: str, path_prefix: str
) -> None:
    signature = _single(parameters, "auth_signature") or ""
    for candidate in _signed_paths(path, path_prefix):
        string = canonical_string(method, candidate, parameters)
        digest = hex_digest(secret, string.encode("utf-8", "surrogateescape"))
        if _same_digest(signature, digest):
            return
    shown = canonical_string(method, path, parameters).replace("\n", "\\n")
    raise InvalidSignature(
        f'Invalid signature: you should have sent HmacSHA256Hex("{shown}", your_secret_key)',
        f', but you sent "{signature}"',
    )


def _signed_paths(path: str, path_prefix: str) -> Iterator[str]:
    """What clients are seen to sign: the raw path, the decoded one, the one without a prefix."""
    yield path
    if "%" in path:
        yield unquote(path, errors="surrogateescape")
    if path_prefix and path.startswith(path_prefix):
        bare = path[len(path_prefix) :]
        yield bare
        if "%" in bare:
            yield unquote(bare, errors="surrogateescape")


def _check_body(body_md5: str | None, body: bytes) -> None:
    if body_md5 is None:
        if body:
            raise InvalidSignature("Missing parameter: body_md5 (required with a body)")
        return
    expected = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(body_md5.encode("utf-8", "surrogateescape"), expected.encode()):
        raise InvalidSignature(f"Invalid body_md5: the MD5 of the received body is {expected}")
