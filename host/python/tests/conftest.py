"""A real server, run as a process: `SAC_SERVING` names the program, or else it is the one that cargo built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

WORKSPACE = Path(__file__).parents[3]
PROGRAM = os.environ.get("SAC_SERVING") or WORKSPACE / "target/release/sac-serving"
STATE = [0.3, -0.4, 0.5]
#: A batch of such states.
STATES = np.random.default_rng(1).uniform(-1, 1, (16, 3)).astype(np.float32)
#: A request that sees a change waits for the load, however busy the machine is.
PATIENCE = ["--reload-wait", "10min", "--load-time", "10min", "--call-time", "10min"]


class Server:
    """A server of some folder, and its log so far."""

    def __init__(self, *args: str | Path, listen: str = "127.0.0.1:0") -> None:
        command = [PROGRAM, "serve", "--listen", listen, *PATIENCE, *args]
        self.log: list[str] = []
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            found = re.search(r"listening on (https?://\S+|unix:\S+)", line)
            if found:
                self.url = found[1]
                break
        else:
            raise AssertionError("".join(self.log))
        # The pipe is read on, so that the log never waits.
        self._reader = threading.Thread(target=self.log.extend, args=(self._process.stderr,))
        self._reader.start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers with these arguments, and stops them after the test."""
    servers: list[Server] = []

    def start(*args: str | Path, **options: str) -> Server:
        servers.append(Server(*args, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def with_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the package check by the program that is tested, and no other one that is installed."""
    monkeypatch.setattr("sac_serving.check.program", lambda: str(PROGRAM))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good checkpoint."""
    folder = tmp_path / "checkpoints"
    put("pendulum_00500", folder / "model_a.onnx")
    return folder


def put(checkpoint: str, path: Path) -> None:
    """Publishes one of the demo's checkpoints under this path."""
    path.parent.mkdir(exist_ok=True)
    shutil.copy(WORKSPACE / "host/demo" / f"{checkpoint}.onnx", path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def examples() -> list[str]:
    """The code of the README's examples."""
    text = (WORKSPACE / "host/python/README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def computed(path: Path, state: list[float] = STATE) -> Any:
    """The action that the program prints for a file."""
    text = ",".join(map(str, state))
    return np.float32(subprocess.check_output([PROGRAM, "predict", path, f"--state={text}"], text=True))


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
