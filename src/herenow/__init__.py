"""A self-hosted realtime server that speaks the Pusher Channels protocol, and its SDK.

``import herenow`` loads nothing but this; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from herenow.sdk.answers import (
        BatchAnswer,
        CachedEvent,
        ChannelAnswer,
        ChannelAttributes,
        ChannelsAnswer,
        TriggerAnswer,
        User,
        UsersAnswer,
    )
    from herenow.sdk.async_channels import AsyncChannels
    from herenow.sdk.authorization import ChannelAuthorization, UserAuthentication
    from herenow.sdk.channels import Channels
    from herenow.sdk.errors import (
        ChannelsError,
        InvalidAnswer,
        InvalidArgument,
        InvalidWebhook,
        Refused,
        Unreachable,
        WebhookInProgress,
    )
    from herenow.sdk.limits import Limits
    from herenow.sdk.outbox import (
        UndeliveredEvent,
        UndeliveredEvents,
        WebhookEndpoint,
        WebhookEndpoints,
    )
    from herenow.sdk.people import (
        Member,
        RemovedMember,
        Roster,
        RosterChanges,
        UserAnswer,
        UserStatus,
        UserStatuses,
    )
    from herenow.sdk.requests import Event
    from herenow.sdk.seen import AsyncSeenEvents, EventMemory, SeenEvents
    from herenow.sdk.webhooks import Webhook, WebhookEvent

__version__ = "0.1.0"

__all__ = [
    "AsyncChannels",
    "AsyncSeenEvents",
    "BatchAnswer",
    "CachedEvent",
    "ChannelAnswer",
    "ChannelAttributes",
    "ChannelAuthorization",
    "Channels",
    "ChannelsAnswer",
    "ChannelsError",
    "Event",
    "EventMemory",
    "InvalidAnswer",
    "InvalidArgument",
    "InvalidWebhook",
    "Limits",
    "Member",
    "Refused",
    "RemovedMember",
    "Roster",
    "RosterChanges",
    "SeenEvents",
    "TriggerAnswer",
    "UndeliveredEvent",
    "UndeliveredEvents",
    "Unreachable",
    "User",
    "UserAnswer",
    "UserAuthentication",
    "UserStatus",
    "UserStatuses",
    "UsersAnswer",
    "Webhook",
    "WebhookEndpoint",
    "WebhookEndpoints",
    "WebhookEvent",
    "WebhookInProgress",
]

_MODULES: Final = {
    "herenow.sdk.answers": (
        "BatchAnswer",
        "CachedEvent",
        "ChannelAnswer",
        "ChannelAttributes",
        "ChannelsAnswer",
        "TriggerAnswer",
        "User",
        "UsersAnswer",
    ),
    "herenow.sdk.async_channels": ("AsyncChannels",),
    "herenow.sdk.authorization": ("ChannelAuthorization", "UserAuthentication"),
    "herenow.sdk.channels": ("Channels",),
    "herenow.sdk.errors": (
        "ChannelsError",
        "InvalidAnswer",
        "InvalidArgument",
        "InvalidWebhook",
        "Refused",
        "Unreachable",
        "WebhookInProgress",
    ),
    "herenow.sdk.limits": ("Limits",),
    "herenow.sdk.outbox": (
        "UndeliveredEvent",
        "UndeliveredEvents",
        "WebhookEndpoint",
        "WebhookEndpoints",
    ),
    "herenow.sdk.people": (
        "Member",
        "RemovedMember",
        "Roster",
        "RosterChanges",
        "UserAnswer",
        "UserStatus",
        "UserStatuses",
    ),
    "herenow.sdk.requests": ("Event",),
    "herenow.sdk.seen": ("AsyncSeenEvents", "EventMemory", "SeenEvents"),
    "herenow.sdk.webhooks": ("Webhook", "WebhookEvent"),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # A checker that sees it would believe in every name.

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
