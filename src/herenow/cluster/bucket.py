"""A token bucket, whose clock is an argument."""

from __future__ import annotations


class TokenBucket:
    """Allows *rate* a second on average and *burst* at once."""

    __slots__ = ("burst", "rate", "tokens", "updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.updated = burst, now

    def refill(self, now: float) -> float:
        """Account for the time since the last call; the answer is the number of tokens."""
        if now > self.updated:
            self.tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate)
            self.updated = now
        return self.tokens

    def take(self, now: float, tokens: float = 1) -> bool:
        """Take *tokens* if they are there; nothing is taken if they are not."""
        if self.refill(now) < tokens:
            return False
        self.tokens -= tokens
        return True

    def seconds_until(self, tokens: float) -> float:
        """How long until *tokens* are there, by the last refill."""
        return max(0.0, (min(tokens, self.burst) - self.tokens) / self.rate)
