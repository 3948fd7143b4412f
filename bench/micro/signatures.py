"""Signatures of subscriptions and of API requests."""

from __future__ import annotations

from bench.micro.samples import (
    AUTH,
    CHANNEL,
    CHANNEL_DATA,
    NOW,
    PUBLISH_BODY,
    PUBLISH_PATH,
    PUBLISH_QUERY,
    SOCKET_ID,
    secret_of,
)

from herenow.protocol.signing import channel_string, parse_query, verify_auth, verify_request


def verify_a_subscription() -> None:
    verify_auth(AUTH, channel_string(SOCKET_ID, CHANNEL, CHANNEL_DATA), secret_of)


def read_a_query() -> object:
    return parse_query(PUBLISH_QUERY)


_parameters = parse_query(PUBLISH_QUERY)


def verify_a_request() -> None:
    verify_request("POST", PUBLISH_PATH, _parameters, PUBLISH_BODY, secret_of, NOW)


SUBJECTS = (verify_a_subscription, read_a_query, verify_a_request)
