"""Serving: the dashboard as a process of its own, on a free port."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def serve(folder: Path, root: Path = ROOT) -> tuple[subprocess.Popen, str]:
    """Start a dashboard, of the checkout at `root`, whose data, runs and log are in a folder; wait until it answers,
    and give its URL.
    """
    log = folder / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "streamlit", "run", root / "dashboard.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--logger.enableRich=false"]
    environment = os.environ | {"DLCORE_DATA": str(folder / "data"), "DLCORE_RUNS": str(folder / "runs")}
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or healthy(url), timeout=60)
    except BaseException:
        process.kill()
        raise
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with {process.returncode}:\n{log.read_text()}")
    return process, url


def healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/_stcore/health", timeout=1) as answer:
            return answer.status == 200
    except (URLError, TimeoutError, ConnectionError):
        return False
