"""Where things are: the partition of a name, and how names are written in the engine."""

from __future__ import annotations

from zlib import crc32

from herenow.cluster.base import Subject, SubjectKind

_LETTERS = {SubjectKind.PRESENCE: "p", SubjectKind.USER: "u"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


def encode(text: str) -> bytes:
    """*text* as the engine keeps it. JSON lets a lone surrogate into a user id."""
    return text.encode("utf-8", "surrogatepass")


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def partition_of(app: str, name: str, partitions: int) -> int:
    """The partition of a channel, or of a user: a presence channel and its count share one."""
    return crc32(encode(f"{app}/{name}")) % partitions


def home_of(app: str, partitions: int) -> int:
    """The partition that counts an application's connections and spends its event rate."""
    return crc32(encode(app)) % partitions


def name_key(app: str, name: str) -> bytes:
    """``<app>/<channel>``: under this a channel is counted and published on."""
    return encode(f"{app}/{name}")


def subject_key(subject: Subject) -> bytes:
    """``<app>/p/<channel>`` or ``<app>/u/<user id>``."""
    return encode(f"{subject.app}/{_LETTERS[subject.kind]}/{subject.name}")


def subject_of(key: bytes) -> Subject:
    """The subject of a key; ValueError if it is none."""
    app, letter, name = decode(key).split("/", 2)
    kind = _KINDS.get(letter)
    if kind is None:
        raise ValueError(f"expected a subject, got {key!r}")
    return Subject(app, kind, name)
