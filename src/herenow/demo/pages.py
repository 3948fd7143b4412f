"""The page and the files that stand beside it, and no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from herenow.demo.bodies import Refusal

STATIC: Final = Path(__file__).parent / "static"
PAGE: Final = "index.html"
PUSHER_JS: Final = "vendor/pusher.min.js"
MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_MISSING: Final = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>herenow demo</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/style.css">
<main class="plain">
<h1>The demo is not complete</h1>
<p>This copy of herenow was installed without the browser's side of the protocol, pusher-js:
<code>static/{PUSHER_JS}</code> is missing.</p>
<p>In the source tree, with Node.js and npm installed, fetch it:</p>
<pre>python scripts/vendor.py</pre>
<p>Unless the demo runs from there, install herenow from it again. Then start the demo. The wheel
contains it.</p>
</main>
</html>
"""


class Pages:
    def __init__(self, static: Path = STATIC) -> None:
        self._page = static / PAGE
        self._files = {
            path.relative_to(static).as_posix(): path
            for path in static.rglob("*")
            if path.suffix in MEDIA_TYPES
        }
        self.complete = PUSHER_JS in self._files

    async def page(self, request: Request) -> Response:
        if not self.complete:
            return HTMLResponse(_MISSING)
        return FileResponse(self._page, media_type="text/html")

    async def static(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        if path is None:
            raise Refusal(404, "There is no such file.")
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix])
