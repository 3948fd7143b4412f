"""End-to-end encryption of ``private-encrypted-…`` channels (protocol reference §14).

Only the application's backend and its clients can read such events; a server carries them as text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

MASTER_KEY_BYTES: Final = 32
NONCE_BYTES: Final = SecretBox.NONCE_SIZE


class Undecryptable(Exception):
    """Data that is no envelope, or one that was not sealed with this secret."""


class _Envelope(msgspec.Struct):
    nonce: str
    ciphertext: str


def decode_master_key(text: str) -> bytes:
    """The master key that base64 *text* stands for.

    Raises :class:`ValueError`, which does not quote the text.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"expected base64 of {MASTER_KEY_BYTES} bytes") from None
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"expected base64 of {MASTER_KEY_BYTES} bytes, got that of {len(key)}")
    return key


def shared_secret(channel: str, master_key: bytes) -> bytes:
    """The secret of one channel, 32 bytes; clients are given it in base64."""
    return hashlib.sha256(channel.encode() + master_key).digest()


def seal(plaintext: bytes, secret: bytes, nonce: bytes) -> str:
    """``{"nonce":…,"ciphertext":…}``: *plaintext* in the form that an event's ``data`` takes.

    A *nonce*, 24 random bytes, must never serve twice under the same secret.
    """
    ciphertext = SecretBox(secret).encrypt(plaintext, nonce).ciphertext
    envelope = _Envelope(_base64(nonce), _base64(ciphertext))
    return msgspec.json.encode(envelope).decode()


def open_sealed(data: str, secret: bytes) -> bytes:
    """The plaintext of an event's ``data``; raises :class:`Undecryptable`."""
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        nonce = base64.b64decode(envelope.nonce, validate=True)
        ciphertext = base64.b64decode(envelope.ciphertext, validate=True)
        return SecretBox(secret).decrypt(ciphertext, nonce)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Undecryptable("not an envelope with nonce and ciphertext") from error
    except (binascii.Error, ValueError, CryptoError) as error:
        raise Undecryptable("not sealed with this channel's secret") from error


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
