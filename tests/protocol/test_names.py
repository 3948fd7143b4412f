"""What may be a name, and what kind of channel it means."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herenow.protocol.names import (
    MAX_CHANNEL_NAME_LENGTH,
    ChannelKind,
    channel_kind,
    first_illegal_character,
    is_legal_channel_name,
    is_legal_user_id,
    is_socket_id,
)

ALPHABET = string.ascii_letters + string.digits + "_-=@,.;"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("orders", ChannelKind.PUBLIC),
        ("", ChannelKind.PUBLIC),
        ("Private-a", ChannelKind.PUBLIC),
        ("private", ChannelKind.PUBLIC),
        ("private-", ChannelKind.PRIVATE),
        ("private-a", ChannelKind.PRIVATE),
        ("private-encrypted-a", ChannelKind.ENCRYPTED),
        ("private-encrypted-cache-a", ChannelKind.ENCRYPTED_CACHE),
        ("private-encrypted", ChannelKind.PRIVATE),
        ("private-cache-a", ChannelKind.PRIVATE_CACHE),
        ("private-cache-encrypted-a", ChannelKind.PRIVATE_CACHE),
        ("presence-a", ChannelKind.PRESENCE),
        ("presence-cache-a", ChannelKind.PRESENCE_CACHE),
        ("presence-encrypted-a", ChannelKind.PRESENCE),
        ("cache-a", ChannelKind.CACHE),
        ("cache-private-a", ChannelKind.CACHE),
        ("#server-to-user-u", ChannelKind.SERVER_TO_USER),
    ],
)
def test_the_first_matching_prefix_is_the_kind(name: str, kind: ChannelKind) -> None:
    assert channel_kind(name) is kind


@pytest.mark.parametrize(
    ("kind", "traits"),
    [
        (ChannelKind.ENCRYPTED_CACHE, {"signed", "encrypted", "cached", "counted"}),
        (ChannelKind.ENCRYPTED, {"signed", "encrypted", "counted"}),
        (ChannelKind.PRIVATE_CACHE, {"signed", "cached", "client_events", "counted"}),
        (ChannelKind.PRIVATE, {"signed", "client_events", "counted"}),
        (ChannelKind.PRESENCE_CACHE, {"signed", "presence", "cached", "client_events"}),
        (ChannelKind.PRESENCE, {"signed", "presence", "client_events"}),
        (ChannelKind.CACHE, {"cached", "counted"}),
        (ChannelKind.SERVER_TO_USER, {"user"}),
        (ChannelKind.PUBLIC, {"counted"}),
    ],
)
def test_what_follows_from_a_kind(kind: ChannelKind, traits: set[str]) -> None:
    """The table of protocol reference §6.2."""
    every = ("signed", "presence", "encrypted", "cached", "user", "client_events", "counted")
    assert {trait for trait in every if getattr(kind, trait)} == traits


@given(st.text(ALPHABET, min_size=1, max_size=MAX_CHANNEL_NAME_LENGTH))
def test_a_name_of_the_alphabet_is_legal(name: str) -> None:
    assert is_legal_channel_name(name)
    assert is_legal_user_id(name) is (len(name) <= 128)
    assert first_illegal_character(name) is None


@given(st.text(ALPHABET), st.characters(exclude_characters=ALPHABET), st.text(ALPHABET))
def test_one_other_character_makes_it_illegal(before: str, other: str, after: str) -> None:
    name = before + other + after
    assert not is_legal_user_id(name)
    assert not is_legal_channel_name(f"a{name}")
    assert first_illegal_character(name) == other


def test_lengths_are_of_the_whole_name() -> None:
    longest = "private-" + "a" * (MAX_CHANNEL_NAME_LENGTH - 8)
    assert is_legal_channel_name(longest)
    assert not is_legal_channel_name(longest + "a")
    assert is_legal_channel_name("a" * 1_000, max_length=0)
    assert not is_legal_channel_name("a" * 11, max_length=10)
    assert is_legal_user_id("u" * 128)
    assert not is_legal_user_id("u" * 129)


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("#server-to-user-u-42", True),
        ("#server-to-user-" + "u" * 128, True),
        ("#server-to-user-" + "u" * 129, False),
        ("#server-to-user-", False),
        ("#server-to-user-a b", False),
        ("#other", False),
        ("#", False),
        ("a#server-to-user-u", False),
        ("", False),
        ("a\n", False),
    ],
)
def test_of_names_with_a_hash_only_those_of_users_are_legal(name: str, legal: bool) -> None:
    assert is_legal_channel_name(name) is legal


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("1.2", True),
        ("81234.5678901", True),
        ("1", False),
        ("1.", False),
        (".1", False),
        ("1.2.3", False),
        ("1.2\n", False),
        ("-1.2", False),
        ("\u0661.\u0662", False),
        ("", False),
    ],
)
def test_a_socket_id_is_two_numbers(text: str, valid: bool) -> None:
    assert is_socket_id(text) is valid
