"""JupyterLab with a small run, and Chromium to look at it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository(tmp_path_factory, command, small_run) -> Path:
    """A copy of the repository, with a small run where the README's command makes one."""
    root = tmp_path_factory.mktemp("lab") / "companion"
    for name in ("gc_utils", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", root)
    done = command("run", *small_run, "--output", "runs/demo", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(scope="session")
def readme_walk() -> tuple[list[str], str]:
    """The README's words: the arguments of `jupyter`, and the notebook that is to be opened."""
    text = (ROOT / "README.md").read_text()
    typed, opened = re.search(
        r"`\.venv/bin/jupyter (lab[^`]*)`,?\s+open\s+`(\w+)`,?\s+Run All", text
    ).groups()
    return shlex.split(typed), opened


@pytest.fixture(scope="session")
def start_lab(tmp_path_factory) -> Callable:
    """Start JupyterLab in a folder; a context manager that gives its address."""

    @contextlib.contextmanager
    def start(arguments: list[str], cwd: Path, package: Path) -> Iterator[str]:
        home = tmp_path_factory.mktemp("home")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = secrets.token_hex(16)
        # The news would ask the internet, and cover the menus.
        config = home / "labconfig" / "page_config.json"
        config.parent.mkdir()
        config.write_text(
            '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
        )
        environment = os.environ | {
            "HOME": str(home),
            "JUPYTER_CONFIG_DIR": str(home),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "PYTHONPATH": str(package),
        }
        command = [str(Path(sys.executable).with_name("jupyter")), *arguments, "--no-browser"]
        command += ["--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={token}"]
        with (home / "log.txt").open("w") as log:
            server = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        address = f"http://127.0.0.1:{port}/lab?token={token}"
        try:
            for _ in range(240):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                assert server.poll() is None, (home / "log.txt").read_text()
                time.sleep(0.5)
            yield address
        finally:
            server.terminate()  # it ends its kernels
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()

    return start
