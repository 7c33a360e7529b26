"""Find a Chromium for the browser tests; run as a script, install one if there is none and print its path.

One that is already there comes first (DLCORE_CHROMIUM names a particular one), then the system's package,
then Playwright's download. A browser counts only when it starts: Ubuntu's /usr/bin/chromium-browser may be a
stub that asks for a snap, and Playwright's may lack system libraries.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NAMES = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
]

# In a process of its own, since Playwright's synchronous interface cannot be started twice in one.
PLAYWRIGHTS_OWN = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def find() -> str | None:
    """Return the path of a Chromium that starts, or None."""
    return next(filter(starts, candidates()), None)


@contextlib.contextmanager
def launched() -> "Iterator[Browser]":
    """A Chromium that runs. Raises RuntimeError when there is none."""
    from playwright.sync_api import sync_playwright

    path = find()
    if path is None:
        raise RuntimeError(f"there is no Chromium: {sys.executable} tests/browser/chromium.py installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def candidates() -> Iterator[str]:
    if chosen := os.environ.get("DLCORE_CHROMIUM"):
        yield chosen
        return
    yield from filter(None, map(shutil.which, NAMES))
    asked = subprocess.run([sys.executable, "-c", PLAYWRIGHTS_OWN], capture_output=True, text=True)
    yield from asked.stdout.split("\n")[:1]


def starts(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def ways_to_install() -> Iterator[list[list[str]]]:
    """Yield the commands of each way that this machine offers, the best way first."""
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    may_install = shutil.which("apt-get") is not None and succeeds([*become_root, "true"])
    if may_install:
        apt_get = [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
        packages = ["chromium", "fonts-liberation"]
        yield [[*apt_get, "update"], [*apt_get, "install", "-y", "--no-install-recommends", *packages]]
    playwright = [sys.executable, "-m", "playwright"]
    yield [[*playwright, "install", "chromium"]]
    if may_install:  # it may be there by now, but lack one of the system's libraries
        yield [[*playwright, "install", "chromium"], [*playwright, "install-deps", "chromium"]]


def succeeds(command: list[str]) -> bool:
    """Run the command; what it says goes to stderr, so that stdout holds the path alone."""
    try:
        return subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def install() -> str | None:
    for commands in ways_to_install():
        if all(map(succeeds, commands)) and (path := find()):
            return path
    return None


def main() -> int:
    if path := find():
        print(path)
    elif chosen := os.environ.get("DLCORE_CHROMIUM"):
        print(f"DLCORE_CHROMIUM is {chosen!r}, which does not start.", file=sys.stderr)
    elif path := install():
        print(path)
    else:
        print(
            "The browser tests need Chromium or Chrome, and neither apt-get nor Playwright could install it: "
            "install it yourself, or set DLCORE_CHROMIUM to its path.",
            file=sys.stderr,
        )
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main())
