"""The distributions: built, installed into an empty environment and run there without npm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Final
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
VENDORED: Final = {
    "admin/static/vendor/preact.module.js",
    "admin/static/vendor/preact.LICENSE",
    "admin/static/vendor/htm.module.js",
    "admin/static/vendor/htm.LICENSE",
    "demo/static/vendor/pusher.min.js",
    "demo/static/vendor/pusher-js.LICENSE",
}

_READY: Final = re.compile(r"herenow ready public=(\S+) admin=(\S+)\n")
_DEMO: Final = re.compile(r"herenow demo (\S+)\n")
_IMPORT: Final = re.compile(r"""\b(?:from|import)\s*\(?\s*["']([./][^"']+)["']""")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def environment_without_npm(directory: Path) -> dict[str, str]:
    """The environment with a path on which there is no Node.js."""
    bare = directory / "bin"
    bare.mkdir(exist_ok=True)
    foreign = ("HERENOW_", "PUSHER_", "PYTHONPATH")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | {"PATH": str(bare)}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the pages' scripts cannot be fetched")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    run(*build, "--sdist", "--wheel", str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(distributions: Path) -> Path:
    (sdist,) = distributions.glob("*.tar.gz")
    return sdist


def vendored_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    return {name.removeprefix("herenow/") for name in names if "/static/vendor/" in name}


def test_the_wheel_brings_the_browser_files_with_their_licences(wheel: Path) -> None:
    assert vendored_in(wheel) >= VENDORED


def test_the_wheel_brings_the_package_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.partition("/")[0] for name in names} == {
        "herenow",
        wheel.name.partition("-py3")[0] + ".dist-info",
    }
    assert "herenow/py.typed" in names
    assert not any("node_modules" in name for name in names)


def test_the_wheel_names_version_and_licence(wheel: Path) -> None:
    from herenow import __version__

    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()

    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata


def test_a_wheel_from_the_source_distribution_needs_no_npm(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path)]

    run(*build, source, cwd=tmp_path, env=environment_without_npm(tmp_path))

    (wheel,) = tmp_path.glob("*.whl")
    assert vendored_in(wheel) >= VENDORED


def test_a_build_without_npm_succeeds_and_says_what_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    kept_out = shutil.ignore_patterns("node_modules", "vendor", "__pycache__")
    for name in ("src", "web", "scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=kept_out)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path)]

    said = subprocess.run(
        [*build, source],
        cwd=tmp_path,
        env=environment_without_npm(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr
    assert "without their scripts: npm is not installed" in said.stdout + said.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert vendored_in(wheel) == set()


class _References(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        wanted = {"script": "src", "link": "href", "img": "src"}.get(tag)
        self.found += [value for name, value in attributes if name == wanted and value]


@contextmanager
def running(command: Sequence[str | Path], cwd: Path, env: dict[str, str]) -> Iterator[IO[str]]:
    """A running program; what it prints."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.terminate()


def files_of_page(address: str) -> set[str]:
    """Open the page at *address* and all that it loads: the paths, each of which was there."""
    with httpx2.Client(base_url=address, trust_env=False, timeout=10) as client:
        page = client.get("/")
        assert page.status_code == 200
        references = _References()
        references.feed(page.text)
        waiting = [urljoin("/", reference) for reference in references.found]
        seen: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path in seen or urlsplit(path).scheme:
                continue
            seen.add(path)
            answer = client.get(path)
            assert answer.status_code == 200, path
            if path.endswith(".js"):
                waiting += [urljoin(path, name) for name in _IMPORT.findall(answer.text)]
    return seen


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the wheel, installed into an empty environment."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    install = [str(scripts / "python"), "-m", "pip", "install", "--quiet"]
    environment = environment_without_npm(folder)
    run(*install, "--disable-pip-version-check", f"{wheel}[server]", cwd=folder, env=environment)
    return scripts / "herenow"


def test_the_installed_wheel_serves_its_admin_page_whole(installed: Path, tmp_path: Path) -> None:
    """Every script, module and style sheet that the page names, and that those name, is there."""
    command = [str(installed), "serve", "--port", "0", "--admin-port", "0"]
    with running(command, tmp_path, environment_without_npm(tmp_path)) as output:
        ready = _READY.fullmatch(output.readline())
        assert ready is not None
        seen = files_of_page(ready[2])

    assert any("/vendor/" in path for path in seen), seen


def test_the_installed_wheel_runs_the_demo_whole(installed: Path, tmp_path: Path) -> None:
    command = [str(installed), "demo", "--port", "0", "--app-port", "0", "--admin-port", "0"]
    with running(command, tmp_path, environment_without_npm(tmp_path)) as output:
        assert _READY.fullmatch(output.readline()) is not None
        ready = _DEMO.fullmatch(output.readline())
        assert ready is not None
        seen = files_of_page(ready[1])

    assert {"/static/vendor/pusher.min.js", "/static/style.css", "/static/typing.js"} <= seen
