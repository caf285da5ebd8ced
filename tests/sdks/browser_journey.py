"""The journey of the SDK for browsers, in Chromium, by a process of its own.

    python -m tests.sdks.browser_journey FOLDER_OF_BUNDLES HOST WRITE_KEY [HOST WRITE_KEY …]

The page and the bundles come from a server of this process: another origin than the host. Each
host has a browser context of its own, as a new visitor would. Prints the visitors' anonymous ids as
JSON once all calls are made, and closes the browser when standard input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

from tests.sdks.installed import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS: Final = (
    # As root there is no sandbox to be had, and the page is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # It has nobody to talk to but the page's server and the service.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GIVE_UP_MS: Final = 90_000
PAGE: Final = Path(__file__).with_name("page.html")


class Site(SimpleHTTPRequestHandler):
    """Serves the page at `/`, and the bundles below `/umd/`."""

    def translate_path(self, path: str) -> str:
        """Returns the file of a path."""
        if path.partition("?")[0] == "/":
            return str(PAGE)
        return super().translate_path(path.removeprefix("/umd"))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def served(bundles: str) -> Iterator[str]:
    """Serves the site, and yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=bundles))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def main(bundles: str, *where: str) -> None:
    """Opens a page for each host, has it make its calls, and waits to be told that it may go."""
    with served(bundles) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=FLAGS, timeout=GIVE_UP_MS
        )
        visitors = []
        for host, write_key in zip(where[::2], where[1::2], strict=True):
            page = browser.new_context().new_page()
            page.set_default_timeout(GIVE_UP_MS)
            page.goto(f"{site}/?{urlencode({'host': host, 'key': write_key})}")
            visitors.append(page.evaluate("travel()"))
        print(json.dumps(visitors), flush=True)  # noqa: T201 - it is what was asked for
        sys.stdin.read()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
