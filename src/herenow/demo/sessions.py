"""Who is asking: a signed cookie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from herenow.demo.people import Person

COOKIE: Final = "herenow-demo"
LIFETIME_SECONDS: Final = 12 * 60 * 60

_MAX_COOKIE_LENGTH: Final = 1_024
_PURPOSE: Final = b"herenow demo session:"


@dataclass(frozen=True, slots=True)
class Session:
    """A person in one browser. ``id`` is drawn at sign-in; ``expires`` is in seconds since 1970."""

    id: str
    person: Person
    expires: int


class Sessions:
    """Issues and reads cookies, signed with *secret*; *now* gives seconds since 1970."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now
        self._ended: dict[str, int] = {}

    def issue(self, person: Person) -> str:
        """The cookie of a new session."""
        fields = {
            "session": secrets.token_urlsafe(16),
            "expires": int(self._now()) + LIFETIME_SECONDS,
            "id": person.id,
            "name": person.name,
            "likes": person.likes,
            "guest": person.guest,
        }
        payload = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
        return f"{payload}.{self._signature(payload.encode())}"

    def read(self, cookie: str | None) -> Session | None:
        """The session of *cookie*, unless it is made up, over or was ended."""
        if cookie is None or len(cookie) > _MAX_COOKIE_LENGTH:
            return None
        payload, _, signature = cookie.encode("utf-8", "surrogatepass").rpartition(b".")
        if not hmac.compare_digest(signature, self._signature(payload).encode()):
            return None
        fields = json.loads(base64.urlsafe_b64decode(payload + b"=="))
        person = Person(fields["id"], fields["name"], fields["likes"], fields["guest"])
        session = Session(fields["session"], person, fields["expires"])
        over = session.expires <= self._now() or session.id in self._ended
        return None if over else session

    def end(self, session: Session) -> None:
        """Let the cookie be worth nothing from now on."""
        now = self._now()
        self._ended = {id_: expires for id_, expires in self._ended.items() if expires > now}
        self._ended[session.id] = session.expires

    def _signature(self, payload: bytes) -> str:
        return hmac.new(self._secret, _PURPOSE + payload, hashlib.sha256).hexdigest()
