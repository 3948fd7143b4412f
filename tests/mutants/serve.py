"""``python serve.py FAULT ERRORS serve …``: the server with one deliberate fault.

Should the fault itself not work, the file ERRORS says so: a server that merely fails shows nothing.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from traceback import extract_tb
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from herenow.cli import main
from mutants import faults


def report_to(errors: Path) -> None:
    """Write down what is raised by a fault and not by the server."""

    def make(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = logging.LogRecord(*arguments, **more)
        if record.exc_info and record.exc_info[2] is not None:
            last = extract_tb(record.exc_info[2])[-1]
            if last.filename == faults.__file__:
                errors.write_text(f"line {last.lineno}: {record.exc_info[1]}")
        return record

    logging.setLogRecordFactory(make)


name, errors = sys.argv.pop(1), sys.argv.pop(1)
report_to(Path(errors))
faults.FAULTS[name].break_server()
main()
