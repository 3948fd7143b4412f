"""Whether the statements about many connections and long times are proven at full size."""

from __future__ import annotations

import os
from typing import Final

PROOF: Final = os.environ.get("HERENOW_PROOF") == "1"
