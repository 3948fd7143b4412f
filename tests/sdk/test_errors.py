"""What exceptions carry, also to another process."""

from __future__ import annotations

import pickle

import pytest

from herenow import (
    ChannelsError,
    InvalidAnswer,
    InvalidArgument,
    InvalidWebhook,
    Refused,
    Unreachable,
)

CALL = "POST /apps/1/events"


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("channel", "expected a string, got int"),
        InvalidWebhook("the signature is not that of this body"),
        Refused(400, "Invalid channel name", CALL, ("a", "b")),
        InvalidAnswer("expected a JSON object", "ok", CALL, ("a",)),
        Unreachable("ConnectError", "http://127.0.0.1:1", CALL, ("a",), may_have_arrived=False),
    ],
)
def test_an_exception_survives_the_way_to_another_process(error: ChannelsError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_channel_is_that_of_a_call_about_one() -> None:
    assert Refused(400, "no", CALL, ("a",)).channel == "a"
    assert Refused(400, "no", CALL, ("a", "b")).channel is None
    assert Refused(400, "no", CALL).channel is None
