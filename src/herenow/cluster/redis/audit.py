"""Compares everything in the engine that has to agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from herenow.cluster.redis.address import parse
from herenow.cluster.redis.checks import check
from herenow.cluster.redis.client import Client, connect
from herenow.cluster.redis.findings import Finding, Problem, Report
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.snapshot import Snapshot, keys_of, read

# The keys of a partition are listed before they are read. Whatever changed in between agrees
# when it is read again.
_READINGS: Final = 4
_PAUSE_SECONDS: Final = 0.2
_DEFAULT_LEASE: Final = 5_000_000


async def audit(url: str, prefix: str, partitions: int) -> Report:
    """Check every partition behind *url*; raises ``EngineUnreachable``, and ValueError for a URL.

    Nodes may be running: what is found in one reading of a partition is only reported if it is
    found in three more.
    """
    address = parse(url)
    names = Names(prefix, address.database, partitions)
    async with connect(address, names) as client:
        keys = await keys_of(client, names)
        first = await read(client, names, 0, keys.get(0, ()))
        lease = first.lease or _DEFAULT_LEASE
        nodes = members = entries = 0
        suspected: dict[int, list[Finding]] = {}
        for partition in range(partitions):
            snapshot = await read(client, names, partition, keys.get(partition, ()))
            nodes = max(nodes, len(snapshot.leases))
            members += sum(map(len, snapshot.members.values()))
            entries += sum(map(len, snapshot.entries.values()))
            suspected[partition] = list(check(snapshot, lease, partitions))
        for _ in range(_READINGS - 1):
            await _read_again(suspected, client, names, lease)
    findings = [*_of_deployment(first, partitions), *_beyond(keys, partitions)]
    for found in suspected.values():
        findings += sorted(found, key=lambda finding: finding.sentence)
    return Report(partitions, nodes, members, entries, tuple(findings))


async def _read_again(
    suspected: dict[int, list[Finding]], client: Client, names: Names, lease: int
) -> None:
    """Leave of what is suspected only what is found again."""
    if not any(suspected.values()):
        return
    await asyncio.sleep(_PAUSE_SECONDS)
    keys = await keys_of(client, names)
    for partition, found in suspected.items():
        if found:
            cases = {finding.case for finding in found}
            snapshot = await read(client, names, partition, keys.get(partition, ()))
            again = check(snapshot, lease, names.partitions)
            suspected[partition] = [finding for finding in again if finding.case in cases]


def _of_deployment(first: Snapshot, partitions: int) -> Iterator[Finding]:
    stored = int(first.deployment.get(b"partitions", partitions))
    if stored != partitions:
        yield Finding(Problem.DEPLOYMENT_DIFFERS, 0, expected=partitions, found=stored)


def _beyond(keys: dict[int, set[bytes]], partitions: int) -> Iterator[Finding]:
    for partition in sorted(keys):
        if partition >= partitions:
            yield Finding(Problem.PARTITION_BEYOND, partition, expected=partitions, found=partition)
