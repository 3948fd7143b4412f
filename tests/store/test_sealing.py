"""What is sealed opens with the right keys, and for its purpose only."""

from __future__ import annotations

import base64

import pytest

from herenow.store.sealing import CannotOpen, Sealer, new_key

FIRST, SECOND = new_key(), new_key()


def test_a_key_is_32_random_bytes_in_base64() -> None:
    """Every call makes another."""
    assert len(base64.b64decode(FIRST, validate=True)) == 32
    assert FIRST != SECOND


def test_what_is_sealed_is_opened_again() -> None:
    """Any text, and never the same bytes twice."""
    sealer = Sealer([FIRST])
    text = "gehe\u00efm\nnis \U0001f600"
    sealed = sealer.seal("a", text)
    assert sealer.open("a", sealed) == text
    assert sealer.seal("a", text) != sealed


def test_every_key_opens_and_the_first_one_seals() -> None:
    """So the first can be changed while both are there."""
    old = Sealer([FIRST]).seal("a", "x")
    both = Sealer([SECOND, FIRST])
    assert both.open("a", old) == "x"
    assert Sealer([SECOND]).open("a", both.seal("a", "x")) == "x"
    with pytest.raises(CannotOpen):
        Sealer([FIRST]).open("a", both.seal("a", "x"))


def test_it_opens_for_its_purpose_only() -> None:
    """What is moved to another place in the database is of no use there."""
    sealer = Sealer([FIRST])
    with pytest.raises(CannotOpen):
        sealer.open("secret 2", sealer.seal("secret 1", "x"))


@pytest.mark.parametrize("changed", ["", "!", "AAAA", "ä"])
def test_what_was_not_sealed_does_not_open(changed: str) -> None:
    """Whatever it is."""
    with pytest.raises(CannotOpen):
        Sealer([FIRST]).open("a", changed)


def test_without_a_key_nothing_opens() -> None:
    """A sealer without keys is false."""
    assert not Sealer([])
    with pytest.raises(CannotOpen):
        Sealer([]).open("a", Sealer([FIRST]).seal("a", "x"))
