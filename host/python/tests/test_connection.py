"""Connections to a server, which are kept, shared, and opened again."""

from __future__ import annotations

import multiprocessing
import select
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import STATE

from sac_serving import Policy, StatusError, UnavailableError, UnreachableError

_children: list[Policy] = []


def test_an_answer_of_another_server_is_no_action() -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"hello": "world"}')

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.handle_request)
        with pytest.raises(StatusError, match="something else answers"):
            Policy(f"127.0.0.1:{server.server_port}").predict(STATE)


def test_a_server_that_is_gone_is_unreachable(serve: Any, folder: Path) -> None:
    server = serve("--dir", folder)
    policy = Policy(server.url)
    policy.predict(STATE)
    server.stop()
    with pytest.raises(UnreachableError, match="cannot be asked"):
        policy.predict(STATE)


def test_a_kept_connection_that_the_server_closed_is_opened_again(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder, "--idle-time", "100ms").url) as policy:
        action, _ = policy.predict(STATE)
        (kept,) = policy._connections._idle
        # It is readable when its end has arrived.
        select.select([kept.sock], [], [])
        assert policy.predict(STATE)[0] == action


def test_one_connection_serves_requests_one_after_another(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder).url) as policy:
        policy.predict(STATE)
        (kept,) = policy._connections._idle
        port = kept.sock.getsockname()
        for _ in range(10):
            policy.predict(STATE)
        (kept,) = policy._connections._idle
        assert kept.sock.getsockname() == port


def test_a_request_that_finds_no_room_is_sent_again_after_the_pause_that_the_server_names(
    serve: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve("--dir", folder, "--max-connections-per-address", "1").url
    with Policy(url) as first, Policy(url) as policy:
        action, _ = first.predict(STATE)
        pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", pauses.append)
        with pytest.raises(UnavailableError) as full:
            policy.predict(STATE)
        assert full.value.status == 503 and pauses == [1, 1, 1]
        monkeypatch.undo()

        def leave(_seconds: float) -> None:
            first.close()

        monkeypatch.setattr("sac_serving.policy.time.sleep", leave)
        assert policy.predict(STATE)[0] == action


def test_each_thread_gets_the_action_of_its_own_observation(serve: Any, folder: Path) -> None:
    states = np.random.default_rng(0).uniform(-1, 1, (64, 3)).astype(np.float32)
    with Policy(serve("--dir", folder).url) as policy, ThreadPoolExecutor(8) as threads:
        expected, _ = policy.predict(states)
        actions = list(threads.map(lambda state: policy.predict(state)[0], np.tile(states, (8, 1))))
        assert np.array_equal(actions, np.tile(expected, (8, 1)))
        assert 1 <= len(policy._connections._idle) <= 8


def test_a_forked_process_shares_no_connection(serve: Any, folder: Path) -> None:
    states = np.random.default_rng(0).uniform(-1, 1, (64, 3)).astype(np.float32)
    with Policy(serve("--dir", folder).url) as policy:
        expected, _ = policy.predict(states)
        # A fork hands the policy over as it is, with its connections.
        with multiprocessing.get_context("fork").Pool(2, _children.append, (policy,)) as pool:
            found = pool.map(_ask, states, chunksize=1)
        assert np.array_equal(found, expected)


def _ask(state: Any) -> Any:
    return _children[0].predict(state)[0]
