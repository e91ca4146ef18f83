"""A real browser for the tests of this folder, which only `nox -s browser` installs what they need for."""

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]  # `pytest` alone; the session then fails

THEMES = ("light", "dark")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's browser; nothing is downloaded.

    Without one the session ends with an error: a page that was not looked at has not passed.
    """
    if given := os.environ.get("CHROMIUM"):
        return given if Path(given).is_file() else pytest.exit(f"CHROMIUM is {given}, which is no file", returncode=2)
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return found
    return pytest.exit(
        f"no Chromium: none of {', '.join(NAMES)} is on PATH. Install one (Debian: `apt-get install chromium`) or name "
        "its file in the environment variable CHROMIUM.",
        returncode=2,
    )


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright  # ty: ignore[import-not-found]  # its session installs it

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages that are looked at, by name."""
    from suites.browser.pages import write_pages  # all of the harness that draws: not for those who only collect

    return write_pages(tmp_path_factory.mktemp("pages"))


class Watched:
    """A page and everything it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        """Listen before anything is loaded."""
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def look(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Watched]]:
    """Open a page by its name; keyword arguments: theme, width, scripts."""
    contexts = []

    def open_page(name: str, theme: str = "light", width: int = 1280, scripts: bool = True) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(pages[name].as_uri(), wait_until="load")
        return watched

    yield open_page
    for context in contexts:
        context.close()
