"""Let an older glibc load an ELF64 file: its need of GLIBC_2.38 becomes a weak one."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Final

VERSION: Final = b"GLIBC_2.38\0"
_VERNEED: Final = 0x6FFFFFFE  # SHT_GNU_verneed
_WEAK: Final = 2  # VER_FLG_WEAK


def weaken(image: bytearray) -> int:
    """Change *image* in place; the number of requirements that were weakened."""
    (offset,) = struct.unpack_from("<Q", image, 0x28)
    (count,) = struct.unpack_from("<H", image, 0x3C)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, offset + 64 * i) for i in range(count)]
    return sum(
        _weaken_section(image, section[4], sections[section[6]][4])
        for section in sections
        if section[1] == _VERNEED
    )


def _weaken_section(image: bytearray, entry: int, names: int) -> int:
    weakened = 0
    while True:
        _, count, _, auxiliary, following = struct.unpack_from("<HHIII", image, entry)
        need = entry + auxiliary
        for _ in range(count):
            _, flags, _, name, to_next = struct.unpack_from("<IHHII", image, need)
            if image.startswith(VERSION, names + name):
                struct.pack_into("<H", image, need + 4, flags | _WEAK)
                weakened += 1
            need += to_next
        if not following:
            return weakened
        entry += following


if __name__ == "__main__":
    file = Path(sys.argv[1])
    content = bytearray(file.read_bytes())
    weaken(content)
    file.write_bytes(content)
