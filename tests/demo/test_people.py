"""Which names a guest can have."""

from __future__ import annotations

import pytest

from herenow.demo.people import PEOPLE, BadName, Guests, guest_called


@pytest.mark.parametrize("name", ["Zoë", "李雷", "Ana María", "x" * 32, "<b>bold</b>", "R2-D2"])
def test_names_are_text_of_any_script(name: str) -> None:
    assert guest_called(name).name == name


def test_white_space_is_no_part_of_a_name() -> None:
    assert guest_called("  Zoe \n  Vega\t").name == "Zoe Vega"


@pytest.mark.parametrize(
    "name",
    ["", "   ", "x" * 33, "!!!", "a\x00b", "a\u202eb", "a\u200bb", "\u2800", "a\ud800b"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        guest_called(name)


@pytest.mark.parametrize(
    "name",
    [
        "Emily",
        "EMILY",
        " emily ",
        "Lucia",
        "Lucía",
        "\N{FULLWIDTH LATIN CAPITAL LETTER J}ohn",
        "Émily",
    ],
)
def test_the_name_of_a_person_to_pick_is_not_to_be_had(name: str) -> None:
    with pytest.raises(BadName, match="in the list"):
        guest_called(name)


def test_every_guest_has_an_id_of_their_own() -> None:
    first, second = guest_called("Zoe"), guest_called("Zoe")
    assert first.id != second.id
    assert first.id not in PEOPLE


def test_guests_are_remembered_by_id() -> None:
    guests, zoe = Guests(), guest_called("Zoe")
    guests.remember(zoe)
    assert guests.find(zoe.id) == zoe
    assert guests.find("emily") == PEOPLE["emily"]
    assert guests.find("nobody") is None
