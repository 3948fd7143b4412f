"""A key space as Redis has it: the types and commands that scripts may use, and no others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

Value: TypeAlias = "bytes | Hash | SortedSet | Stream"
Result: TypeAlias = "bytes | int | Sequence[Result] | None"
Command: TypeAlias = Callable[["KeySpace", Sequence[bytes]], Result]
T = TypeVar("T", bound="bytes | Hash | SortedSet | Stream")

OK: Final = b"OK"


class CommandError(Exception):
    """What a server answers with an error, or an argument that this key space does not know."""


class Hash(dict[bytes, bytes]):
    def copy(self) -> Hash:
        return Hash(self)


class SortedSet(dict[bytes, float]):
    """Members and scores. ``order`` has them sorted, until the next change."""

    def __init__(self, scores: dict[bytes, float] | None = None) -> None:
        super().__init__(scores or {})
        self._order: list[tuple[float, bytes]] | None = None

    def copy(self) -> SortedSet:
        return SortedSet(self)

    def order(self) -> list[tuple[float, bytes]]:
        if self._order is None:
            self._order = sorted((score, member) for member, score in self.items())
        return self._order

    def put(self, member: bytes, score: float) -> bool:
        """True if *member* is new."""
        self._order = None
        new = member not in self
        self[member] = score
        return new

    def drop(self, member: bytes) -> bool:
        self._order = None
        return self.pop(member, None) is not None

    def between(self, low: bytes, high: bytes) -> list[tuple[float, bytes]]:
        order = self.order()
        return order[_first(order, low) : _end(order, high)]


def _first(order: list[tuple[float, bytes]], low: bytes) -> int:
    if low.startswith(b"("):
        return bisect_right(order, float(low[1:]), key=_score_of)
    return bisect_left(order, float(low), key=_score_of)


def _end(order: list[tuple[float, bytes]], high: bytes) -> int:
    if high.startswith(b"("):
        return bisect_left(order, float(high[1:]), key=_score_of)
    return bisect_right(order, float(high), key=_score_of)


def _score_of(item: tuple[float, bytes]) -> float:
    return item[0]


class Stream(list[tuple[bytes, ...]]):
    """The fields of each entry; ``ids`` are of this server, no two make the same."""

    def __init__(self, entries: Iterable[tuple[bytes, ...]] = ()) -> None:
        super().__init__(entries)
        self.ids: list[bytes] = []
        self.added = 0

    def copy(self) -> Stream:
        copy = Stream(self)
        copy.ids, copy.added = list(self.ids), self.added
        return copy

    def add(self, fields: tuple[bytes, ...]) -> bytes:
        self.added += 1
        self.append(fields)
        self.ids.append(b"%d-0" % self.added)
        return self.ids[-1]

    def cut(self, first: int, last: int) -> None:
        del self[first:last], self.ids[first:last]


class KeySpace:
    """Keys and their values. ``time`` is the server's clock in µs; keys expire by it."""

    def __init__(self) -> None:
        self.keys: dict[bytes, Value] = {}
        self.expiries: dict[bytes, int] = {}
        self.time = 1_000_000_000_000_000

    def find(self, key: bytes, kind: type[T]) -> T | None:
        """The value of *key*, if there is one that has not expired."""
        if self.expiries:
            self._expire(key)
        value = self.keys.get(key)
        if value is None or isinstance(value, kind):
            return value
        raise CommandError("WRONGTYPE Operation against a key holding the wrong kind of value")

    def make(self, key: bytes, kind: type[T]) -> T:
        value = self.find(key, kind)
        if value is None:
            value = kind()
            self.keys[key] = value
        return value

    def forget_if_empty(self, key: bytes) -> None:
        if not self.keys[key]:
            self.delete(key)

    def delete(self, key: bytes) -> bool:
        self.expiries.pop(key, None)
        return self.keys.pop(key, None) is not None

    def _expire(self, key: bytes) -> None:
        if self.expiries.get(key, self.time + 1) <= self.time:
            self.delete(key)


def _hash(space: KeySpace, key: bytes) -> dict[bytes, bytes]:
    found = space.find(key, Hash)
    return {} if found is None else found


def hget(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, field = args
    return _hash(space, key).get(field)


def hmget(space: KeySpace, args: Sequence[bytes]) -> Result:
    found = _hash(space, args[0])
    return [found.get(field) for field in args[1:]]


def hset(space: KeySpace, args: Sequence[bytes]) -> Result:
    if len(args) < 3 or len(args) % 2 == 0:
        raise CommandError("ERR wrong number of arguments for 'hset' command")
    values = space.make(args[0], Hash)
    before = len(values)
    for i in range(1, len(args), 2):
        values[args[i]] = args[i + 1]
    return len(values) - before


def hdel(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, *fields = args
    values = space.find(key, Hash)
    if values is None:
        return 0
    removed = sum(values.pop(field, None) is not None for field in fields)
    space.forget_if_empty(key)
    return removed


def hgetall(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    return [part for item in _hash(space, key).items() for part in item]


def hkeys(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    return list(_hash(space, key))


def hlen(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    return len(_hash(space, key))


def hincrby(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, field, by = args
    values = space.make(key, Hash)
    number = int(values.get(field, b"0")) + int(by)
    values[field] = b"%d" % number
    return number


def zadd(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, *options, score, member = args
    if options not in ([], [b"GT"]):
        raise CommandError(f"ERR expected GT or nothing, got {options}")
    found = space.make(key, SortedSet)
    if options and member in found and found[member] >= float(score):
        return 0
    return int(found.put(member, float(score)))


def zrem(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, member = args
    found = space.find(key, SortedSet)
    if found is None or not found.drop(member):
        return 0
    space.forget_if_empty(key)
    return 1


def zscore(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, member = args
    found = space.find(key, SortedSet)
    return None if found is None or member not in found else _number(found[member])


def zcard(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    return len(space.find(key, SortedSet) or ())


def zrange(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, first, last, *options = args
    found = space.find(key, SortedSet)
    end = int(last) + 1
    order = [] if found is None else found.order()[int(first) : end if end else None]
    return _listed(order, options)


def zrangebyscore(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, low, high, *options = args
    found = space.find(key, SortedSet)
    between = [] if found is None else found.between(low, high)
    if options[:1] == [b"LIMIT"]:
        offset, count = int(options[1]), int(options[2])
        between, options = between[offset:][:count], options[3:]
    return _listed(between, options)


def zremrangebyscore(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, low, high = args
    found = space.find(key, SortedSet)
    if found is None:
        return 0
    between = found.between(low, high)
    for _, member in between:
        found.drop(member)
    space.forget_if_empty(key)
    return len(between)


def zremrangebyrank(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, first, last = args
    found = space.find(key, SortedSet)
    if found is None:
        return 0
    end = int(last) + 1
    ranked = list(found.order()[int(first) : end if end else None])
    for _, member in ranked:
        found.drop(member)
    space.forget_if_empty(key)
    return len(ranked)


def _listed(order: list[tuple[float, bytes]], options: list[bytes]) -> Result:
    if not options:
        return [member for _, member in order]
    if options == [b"WITHSCORES"]:
        return [part for score, member in order for part in (member, _number(score))]
    raise CommandError(f"ERR unknown options {options}")


def _number(score: float) -> bytes:
    return b"%d" % score if score.is_integer() else repr(score).encode()


def get(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    return space.find(key, bytes)


def set_(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, value, option, milliseconds = args
    if option != b"PX" or int(milliseconds) <= 0:
        raise CommandError(f"ERR expected PX and a time, got {option!r} {milliseconds!r}")
    space.keys[key] = value
    space.expiries[key] = space.time + int(milliseconds) * 1000
    return OK


def pexpire(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, milliseconds = args
    space._expire(key)
    if key not in space.keys:
        return 0
    space.expiries[key] = space.time + int(milliseconds) * 1000
    return 1


def pttl(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    space._expire(key)
    if key not in space.keys:
        return -2
    return (space.expiries[key] - space.time) // 1000 if key in space.expiries else -1


def del_(space: KeySpace, args: Sequence[bytes]) -> Result:
    return sum(space.delete(key) for key in args)


def exists(space: KeySpace, args: Sequence[bytes]) -> Result:
    (key,) = args
    space._expire(key)
    return int(key in space.keys)


def _id(text: bytes) -> tuple[int, int]:
    time, _, number = b"0-0".partition(b"-") if text == b"-" else text.partition(b"-")
    return int(time), int(number)


def hexists(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, field = args
    return int(field in _hash(space, key))


def hscan(space: KeySpace, args: Sequence[bytes]) -> Result:
    """Small hashes come at once, as a server has them."""
    key, cursor, count, _ = args
    if (cursor, count) != (b"0", b"COUNT"):
        raise CommandError(f"ERR expected 0 COUNT n, got {args[1:]}")
    return [b"0", [part for item in _hash(space, key).items() for part in item]]


def xadd(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, maxlen, about, most, made, *fields = args
    if (maxlen, about, made) != (b"MAXLEN", b"~", b"*") or not fields or len(fields) % 2:
        raise CommandError(f"ERR expected MAXLEN ~ n * and fields, got {args[1:]}")
    stream = space.make(key, Stream)
    made = stream.add(tuple(fields))
    if len(stream) >= int(most) + 100:  # a server trims whole blocks of entries as well
        stream.cut(0, 100)
    return made


def xdel(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, made = args
    stream = space.find(key, Stream)
    if stream is None or made not in stream.ids:
        return 0
    index = stream.ids.index(made)
    stream.cut(index, index + 1)
    return 1


def xrange(space: KeySpace, args: Sequence[bytes]) -> Result:
    key, first, last, *count = args
    if last != b"+" or count[:1] != [b"COUNT"]:
        raise CommandError(f"ERR expected + and COUNT n, got {args[2:]}")
    stream = space.find(key, Stream)
    if stream is None:
        return []
    lowest = _id(first)
    found: list[Result] = [
        [made, list(fields)]
        for made, fields in zip(stream.ids, stream, strict=True)
        if _id(made) >= lowest
    ]
    return found[: int(count[1])]


COMMANDS: Final[dict[bytes, Command]] = {
    b"DEL": del_,
    b"EXISTS": exists,
    b"GET": get,
    b"HDEL": hdel,
    b"HEXISTS": hexists,
    b"HGET": hget,
    b"HGETALL": hgetall,
    b"HINCRBY": hincrby,
    b"HKEYS": hkeys,
    b"HLEN": hlen,
    b"HMGET": hmget,
    b"HSCAN": hscan,
    b"HSET": hset,
    b"PEXPIRE": pexpire,
    b"PTTL": pttl,
    b"SET": set_,
    b"UNLINK": del_,
    b"XADD": xadd,
    b"XDEL": xdel,
    b"XRANGE": xrange,
    b"ZADD": zadd,
    b"ZCARD": zcard,
    b"ZRANGE": zrange,
    b"ZRANGEBYSCORE": zrangebyscore,
    b"ZREM": zrem,
    b"ZREMRANGEBYRANK": zremrangebyrank,
    b"ZREMRANGEBYSCORE": zremrangebyscore,
    b"ZSCORE": zscore,
}
