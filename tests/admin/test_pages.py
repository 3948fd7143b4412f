"""An installation without the browser-side files says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request

from herenow.admin.pages import Pages


def test_without_its_scripts_the_page_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "htm.module.js").touch()
    response = asyncio.run(Pages(tmp_path).status(Request({"type": "http"})))
    text = bytes(response.body).decode()
    assert "vendor/preact.module.js" in text
    assert "vendor/htm.module.js" not in text
    assert "python scripts/vendor.py" in text
    assert "<script" not in text
