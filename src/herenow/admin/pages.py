"""The status page: who is online at a glance. Its script reads the JSON reads, as anybody may."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

STATIC: Final = Path(__file__).parent / "static"
VENDORED: Final = ("vendor/preact.module.js", "vendor/hooks.module.js", "vendor/htm.module.js")
MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>herenow</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/status.css">
{body}
</html>
"""
_STATUS: Final = """\
<script type="module" src="/static/status.js"></script>
<div id="page"><noscript><main class="note">This page needs JavaScript. The same numbers are at
<a href="/api/apps">/api/apps</a> and <a href="/metrics">/metrics</a>.</main></noscript></div>"""
_MISSING: Final = """\
<main class="note">
<h1>herenow is running</h1>
<p>The status page is not complete. This copy of herenow was installed without its browser-side
files:</p>
<ul>{missing}</ul>
<p>In the source tree, with Node.js and npm installed, build them:</p>
<pre>python scripts/vendor.py</pre>
<p>Unless the server runs from there, install herenow from it again. Then start the server. The
wheel contains them. Without this page the same numbers are at
<a href="/api/apps">/api/apps</a> and <a href="/metrics">/metrics</a>.</p>
</main>"""


class Pages:
    """Serves the page and the files that stand beside it, and no other file."""

    def __init__(self, static: Path = STATIC) -> None:
        self._files = {
            path.relative_to(static).as_posix(): path
            for path in static.rglob("*")
            if path.suffix in MEDIA_TYPES
        }
        missing = [name for name in VENDORED if name not in self._files]
        listed = "".join(f"<li><code>static/{name}</code></li>" for name in missing)
        body = _MISSING.format(missing=listed) if missing else _STATUS
        self._page = _PAGE.format(body=body)

    async def status(self, request: Request) -> Response:
        return HTMLResponse(self._page)

    async def static(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix])
