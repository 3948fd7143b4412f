"""What a client reported, in order, for a test to take out."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

Report = dict[str, Any]

DEADLINE: Final = 15.0


class Inbox:
    """Reports arrive from another thread; a test takes those that it names and waits for them."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._reports: list[Report] = []
        self._arrived = threading.Condition()

    def put(self, report: Report) -> None:
        with self._arrived:
            self._reports.append(report)
            self._arrived.notify_all()

    def expect(self, timeout: float = DEADLINE, **members: object) -> Report:
        """Take the first report with these *members*; those of other kinds stay."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                for index, report in enumerate(self._reports):
                    if _has(report, members):
                        return self._reports.pop(index)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{self.owner} did not report {members} in {timeout} s; "
                        f"there is {self._reports}"
                    )
                self._arrived.wait(left)

    def waiting(self, **members: object) -> list[Report]:
        """The reports with these *members* that nobody has taken."""
        with self._arrived:
            return [report for report in self._reports if _has(report, members)]

    def expect_none(self, seconds: float, **members: object) -> None:
        """Watch for *seconds* that no such report comes."""
        try:
            report = self.expect(seconds, **members)
        except AssertionError:
            return
        raise AssertionError(f"{self.owner} reported {report}")


def _has(report: Report, members: dict[str, object]) -> bool:
    return all(name in report and report[name] == value for name, value in members.items())
