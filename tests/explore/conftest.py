"""A real Chromium, shared by the tests of one file; where there is none they are skipped, and say so."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """$CHROMIUM, Debian's chromium, or playwright's own."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as p:
        places = [os.environ.get("CHROMIUM", ""), "/usr/bin/chromium", p.chromium.executable_path]
        found = next((place for place in places if place and Path(place).is_file()), None)
        if found is None:
            pytest.skip("There is no Chromium: install Debian's package, or name one with $CHROMIUM.")
        browser = p.chromium.launch(executable_path=found, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file in a browser that is offline, and waits for its decoder; `page.said` are errors, `page.asked` requests."""
    contexts = []

    def open_page(path: Path, fragment: str = "", **how: Any) -> Any:
        how = {"viewport": {"width": 1200, "height": 900}} | how
        contexts.append(chromium.new_context(offline=True, **how))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda m: page.said.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("main[data-ready]", timeout=20_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
