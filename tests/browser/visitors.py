"""People with browsers, and what their browsers ask and complain about."""

from __future__ import annotations

from playwright.sync_api import Browser, BrowserContext, Page, Request, WebSocket


class Visitors:
    """Each person has a browser of their own; further pages of it are tabs."""

    def __init__(self, chromium: Browser, url: str) -> None:
        self.url = url
        self.addresses: list[str] = []
        self.complaints: list[str] = []
        self._chromium = chromium
        self._browsers: dict[str, BrowserContext] = {}

    def open(self, name: str, path: str, width: int = 1280, height: int = 800) -> Page:
        """Open a tab of *name* at *path*."""
        if self.is_new(name):
            self._browsers[name] = self._chromium.new_context(
                viewport={"width": width, "height": height}
            )
        page = self._browsers[name].new_page()
        page.on("request", self._note_request)
        page.on("websocket", self._note_socket)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._note_console(line.type, line.text))
        page.goto(self.url + path)
        return page

    def is_new(self, name: str) -> bool:
        return name not in self._browsers

    def _note_request(self, request: Request) -> None:
        self.addresses.append(request.url)

    def _note_socket(self, socket: WebSocket) -> None:
        self.addresses.append(socket.url)

    def _note_console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def close(self) -> None:
        for browser in self._browsers.values():
            browser.close()
