"""End-to-end encryption against the vectors of protocol reference §14 and appendix A.4."""

from __future__ import annotations

import base64
import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herenow.protocol.encryption import (
    NONCE_BYTES,
    Undecryptable,
    decode_master_key,
    open_sealed,
    seal,
    shared_secret,
)

MASTER_KEY: Final = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


@pytest.mark.parametrize(
    ("master_key", "channel", "secret"),
    [
        (MASTER_KEY, "private-encrypted-vault", "2cJFYkogLcfirMt86JZB90fyN+fg8Yr1p8YxWEeQiJM="),
        (
            "OHRXNUZRTG5pUTFzQlFGd3J3N3Q2VFZFc0paZDEweVk=",
            "private-encrypted-channel",
            "VmIsNZtCSteh8kazd2toc+ofhohBtUouQRSDtRvuyVI=",
        ),
        (
            "zyrm8pvV2C9fJcBfhyXzvxbJVN/H7QLmbe0xJi1GhPU=",
            "private-encrypted-bla",
            "nlr49ISQHz91yS3cy/yWmW8wFMNeTnNL5tNHnbPJcLQ=",
        ),
    ],
)
def test_the_shared_secret_of_published_vectors(master_key: str, channel: str, secret: str) -> None:
    assert base64.b64encode(shared_secret(channel, decode_master_key(master_key))) == (
        secret.encode()
    )


def test_the_shared_secret_is_a_hash_of_channel_and_key() -> None:
    secret = shared_secret("private-encrypted-bla", b"This is a string that is 32 chars")
    assert secret.hex() == "004831f99d2a4e86723e893caded3a2897deeddbed9514fe9497dcddc52bd50b"


def test_the_sealed_vector_of_the_reference() -> None:
    nonce = base64.b64decode("ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7")
    secret = shared_secret("private-encrypted-vault", decode_master_key(MASTER_KEY))
    sealed = seal(b'{"pin":"0000"}', secret, nonce)
    assert sealed == (
        '{"nonce":"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7",'
        '"ciphertext":"4152YdKIm1Rx8KdNYi35z/XIl+Fpaze325vP9amd"}'
    )
    assert open_sealed(sealed, secret) == b'{"pin":"0000"}'


def test_the_sealed_vector_of_the_python_package() -> None:
    secret = shared_secret("pvUPIk0YG6MnxCEMIUUVFrbDmQwbhICXUcy", b"OTk5" * 8)
    sealed = seal(b"kkkT5OOkOkO5kT5TOO5TkOT5TTk5O55T", secret, b"XAJI0Y6DPBHSAHXTHV3A3ZMF")
    assert json.loads(sealed)["ciphertext"] == (
        "tsYJa2JgGDOpVIYFe4aNVWAvZlpB7z7CjN9mpIdbATE0Yc4izN8aM8D6VigBxnIQ"
    )


@given(st.binary(), st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24))
def test_what_was_sealed_opens_with_the_same_secret_only(
    plaintext: bytes, secret: bytes, nonce: bytes
) -> None:
    sealed = seal(plaintext, secret, nonce)
    assert open_sealed(sealed, secret) == plaintext
    with pytest.raises(Undecryptable):
        open_sealed(sealed, bytes(32 * [secret[0] ^ 1]))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        "[]",
        "plain text",
        '{"nonce":"","ciphertext":""}',
        '{"nonce":"?","ciphertext":"?"}',
        '{"nonce":1,"ciphertext":2}',
        '{"nonce":"\ud800","ciphertext":""}',
        "[" * 5_000,
    ],
)
def test_what_is_no_envelope_is_undecryptable(data: str) -> None:
    with pytest.raises(Undecryptable):
        open_sealed(data, bytes(32))


@pytest.mark.parametrize(
    "text", ["", "AQID", "not base64", MASTER_KEY[:-1], MASTER_KEY + "\n", "é" * 44, MASTER_KEY * 2]
)
def test_a_master_key_of_another_form_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected base64 of 32 bytes") as refusal:
        decode_master_key(text)
    assert not text or text not in str(refusal.value)


def test_a_nonce_has_24_bytes() -> None:
    assert NONCE_BYTES == 24
