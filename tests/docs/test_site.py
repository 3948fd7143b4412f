"""The pages build without a warning, into a site that needs no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return directory


def test_every_page_is_built(site: Path) -> None:
    sources = (ROOT / "docs").rglob("*.md")
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in sources}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loading = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//")
    for page in site.rglob("*.html"):
        assert loading.search(page.read_text(encoding="utf-8")) is None, page
    for style in site.rglob("*.css"):
        assert "@import" not in style.read_text(encoding="utf-8"), style
        assert re.search(r"url\([\"']?https?:", style.read_text(encoding="utf-8")) is None, style
