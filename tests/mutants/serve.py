"""``python serve.py FAULT serve …``: the server with one deliberate fault."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from herenow.cli import main
from mutants.faults import FAULTS

FAULTS[sys.argv.pop(1)].break_server()
main()
