"""Secrets in the store are sealed with a key that is never kept there (NaCl's SecretBox)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nacl.secret import SecretBox

KEY_BYTES: Final = 32


class CannotOpen(Exception):
    """None of the keys opens this, or it was sealed for another purpose."""


def new_key() -> str:
    """32 random bytes in base64, for ``store.secret_key``."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class Sealer:
    """Seals with the first of *keys* (32 bytes in base64 each); all of them open.

    What is sealed is bound to a *purpose*: moved elsewhere in the database, it does not open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    @cached_property
    def _boxes(self) -> list[SecretBox]:
        # Imported late: a server without a store needs none of it.
        from nacl.secret import SecretBox

        return [SecretBox(base64.b64decode(key)) for key in self._keys]

    def seal(self, purpose: str, text: str) -> str:
        """*text*, as base64 that tells nothing but its length."""
        sealed = self._boxes[0].encrypt(f"{purpose}\n{text}".encode())
        return base64.b64encode(sealed).decode()

    def open(self, purpose: str, sealed: str) -> str:
        """What was sealed for *purpose*. Raises :class:`CannotOpen`."""
        from nacl.exceptions import CryptoError

        for box in self._boxes:
            try:
                opened = box.decrypt(base64.b64decode(sealed, validate=True)).decode()
            except (CryptoError, ValueError):
                continue
            meant, _, text = opened.partition("\n")
            if meant == purpose:
                return text
        raise CannotOpen
