"""What an audit found: how two records that have to agree do not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Problem(Enum):
    """What can be wrong. The value is a sentence about one case of it."""

    COUNT_DIFFERS = "{user} of {subject} has {found} connections on record, but {expected} entries"
    MEMBER_MISSING = "node {node} has an entry of {user} in {subject}, who is no member there"
    NOT_DEPARTING = "{user} of {subject} has no connection left, but no departure is scheduled"
    DEPARTING_WITH_CONNECTIONS = "{user} of {subject} has {found} connections and is departing"
    DEPARTURE_OF_NOBODY = "a departure of {user} from {subject} is scheduled, who is no member"
    SCHEDULES_DIFFER = "the departure of {user} from {subject} has two deadlines"
    DEPARTURE_OVERDUE = "the departure of {user} from {subject} is overdue for {found} leases"
    VACANCY_OF_OCCUPIED = "{subject} is to be declared vacant and has {found} subscriptions"
    NODE_WITHOUT_LEASE = "node {node} has no lease, but {found} {record}"
    LEASE_OVERDUE = "the lease of node {node} ended {found} leases ago and nobody reaped it"
    SUM_DIFFERS = "{subject} has {found} on record, but the nodes say {expected} in all"
    TOTAL_DIFFERS = "application {subject} has {found} {record} on record, but there are {expected}"
    ROOM_DIFFERS = "{subject} is recorded with {found} members, but there are {expected}"
    TOLD_OF_NOTHING = "{subject} has no subscription, but a count of it was announced"
    ONLINE_DIFFERS = "{user} of application {subject} is listed as signed in, or is, but not both"
    EVENTS_ASTRAY = "{found} webhook events of endpoint {node} are not where they belong"
    FACTS_DIFFER = "endpoint {node} was told {expected} facts of {subject}, but {found} are counted"
    PARTITION_WRONG = "{subject} is kept in partition {found} and belongs in {expected}"
    PARTITION_BEYOND = "partition {found} has data, but there are only {expected} partitions"
    DEPLOYMENT_DIFFERS = "the engine was used with {found} partitions, asked was for {expected}"
    UNREADABLE = "the key {subject} holds something that no node writes"


@dataclass(frozen=True, slots=True)
class Finding:
    """One case. Names are as people write them, where they can be read."""

    problem: Problem
    partition: int
    subject: str = ""
    user: str = ""
    node: str = ""
    record: str = ""
    expected: int | None = None
    found: int | None = None

    @property
    def case(self) -> tuple[Problem, int, str, str, str, str]:
        """What it is about, whatever the numbers."""
        return (self.problem, self.partition, self.subject, self.user, self.node, self.record)

    @property
    def sentence(self) -> str:
        return self.problem.value.format(
            subject=self.subject,
            user=self.user,
            node=self.node,
            record=self.record,
            expected=self.expected,
            found=self.found,
        )

    def as_json(self) -> dict[str, Any]:
        """The finding for machines, without what does not apply to it."""
        fields = {name: value for name, value in asdict(self).items() if value not in ("", None)}
        return {**fields, "problem": self.problem.name.lower(), "sentence": self.sentence}


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what was found."""

    partitions: int
    nodes: int
    members: int
    entries: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {
            "partitions": self.partitions,
            "nodes": self.nodes,
            "members": self.members,
            "entries": self.entries,
            "findings": [finding.as_json() for finding in self.findings],
        }
