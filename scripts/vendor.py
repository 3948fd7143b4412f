"""Fetch the browser-side files with npm and lay them where the pages look for them.

Does nothing when they are there already, as in a source distribution. Without npm it says what
will be missing and succeeds: the server works without its pages' scripts.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
WEB: Final = ROOT / "web"
MODULES: Final = WEB / "node_modules"
ADMIN: Final = ROOT / "src/herenow/admin/static/vendor"
DEMO: Final = ROOT / "src/herenow/demo/static/vendor"
STAMP: Final = "package-lock.sha256"

FILES: Final = {
    "preact/dist/preact.module.js": ADMIN / "preact.module.js",
    "preact/hooks/dist/hooks.module.js": ADMIN / "hooks.module.js",
    "preact/LICENSE": ADMIN / "preact.LICENSE",
    "htm/dist/htm.module.js": ADMIN / "htm.module.js",
    "htm/LICENSE": ADMIN / "htm.LICENSE",
    "pusher-js/dist/web/pusher.min.js": DEMO / "pusher.min.js",
    "pusher-js/LICENCE": DEMO / "pusher-js.LICENSE",
}

# A browser resolves no bare name, and an import map would need an exception from the page's CSP.
_BARE_PREACT: Final = re.compile(r"""(\bfrom\s*)(["'])preact\2""")
_SOURCE_MAP: Final = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")


def fetch() -> None:
    """Make ``node_modules`` exactly what the lock file names."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=WEB,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )


def lay_out() -> None:
    """Copy what browsers load, with the licences."""
    for source, target in FILES.items():
        text = (MODULES / source).read_text(encoding="utf-8")
        if target.suffix == ".js":
            text = _BARE_PREACT.sub(r"\1\2./preact.module.js\2", _SOURCE_MAP.sub("\n", text))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def is_current(digest: str) -> bool:
    complete = all(target.is_file() for target in FILES.values())
    stamps = [folder / STAMP for folder in (ADMIN, DEMO)]
    return complete and all(stamp.is_file() and stamp.read_text() == digest for stamp in stamps)


def main() -> None:
    digest = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if is_current(digest):
        return
    try:
        fetch()
        lay_out()
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"The admin pages and the demo will be without their scripts: {error}", file=sys.stderr
        )
        return
    for folder in (ADMIN, DEMO):
        (folder / STAMP).write_text(digest)


if __name__ == "__main__":
    main()
