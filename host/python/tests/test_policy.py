"""A policy that a real server computes."""

from __future__ import annotations

import multiprocessing
import select
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROGRAM, examples, put

from sac_serving import (
    BadRequestError,
    Policy,
    SacServingError,
    StatusError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)

STATE = [0.3, -0.4, 0.5]


def computed(path: Path, state: list[float] = STATE) -> Any:
    """The action that the program prints for a file."""
    text = ",".join(map(str, state))
    return np.float32(subprocess.check_output([PROGRAM, "predict", path, f"--state={text}"], text=True))


def test_actions_have_the_shapes_types_and_values_that_the_trainer_knows(serve: Any, folder: Path) -> None:
    expected = computed(folder / "model_a.onnx")
    with Policy(serve("--dir", folder).url) as policy:
        action, info = policy.predict(np.array(STATE))
        assert action.shape == (1,) and action.dtype == np.float32
        assert action[0] == expected
        assert Path(info["model_path"]).name == "model_a.onnx"
        assert info["latency_ms"] > 0
        actions, info = policy.predict(np.array([STATE, [1.0, 0.0, -2.0]], dtype=np.float32))
        assert actions.shape == (2, 1) and actions.dtype == np.float32
        assert actions[0] == action and actions[1] == computed(folder / "model_a.onnx", [1.0, 0.0, -2.0])
        assert Path(info["model_path"]).name == "model_a.onnx"
        one, _ = policy.predict([STATE])
        assert one.shape == (1, 1)


def test_a_seed_repeats_a_sample_and_a_sample_is_not_the_mean(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder).url) as policy:
        mean, _ = policy.predict(STATE)
        draws = [policy.predict(STATE, deterministic=False, seed=seed)[0] for seed in (7, 7, 8)]
        assert draws[0] == draws[1] and draws[0] != draws[2] and draws[0] != mean
        assert policy.predict([STATE], deterministic=False, seed=7)[0][0] == draws[0]


def test_the_next_prediction_is_computed_by_a_new_checkpoint(serve: Any, folder: Path) -> None:
    with Policy(serve("--dir", folder).url) as policy:
        old, _ = policy.predict(STATE)
        put("pendulum_02000", folder / "model_b.onnx")
        new, info = policy.predict(STATE)
        assert Path(info["model_path"]).name == "model_b.onnx" and new != old
        assert policy.info()["generation"] == 2
        assert policy.health() == {"status": "ok", "model_loaded": True}
        assert policy.reload()["generation"] == 3


def test_errors_carry_the_status_and_the_detail(serve: Any, folder: Path, tmp_path: Path) -> None:
    server = serve("--dir", folder, "--api-token", "secret")
    with Policy(server.url, "secret") as policy:
        with pytest.raises(BadRequestError) as wrong:
            policy.predict([1.0, 2.0])
        assert (wrong.value.status, wrong.value.detail) == (400, "state_dim mismatch: got 2, expected 3")
        with pytest.raises(BadRequestError) as wrong:
            policy.predict(STATE, seed=-1)
        assert wrong.value.status == 422 and wrong.value.detail[0]["loc"] == ["body", "seed"]
        (folder / "model_b.onnx").write_bytes(b"broken")
        with pytest.raises(StatusError, match="500: Checkpoint load failed"):
            policy.reload()
        assert policy.health()["status"] == "stale"
        assert "secret" not in repr(policy)
    with Policy(server.url) as policy, pytest.raises(UnauthorizedError, match="401"):
        policy.predict(STATE)
    with Policy(serve("--dir", tmp_path).url) as policy:
        with pytest.raises(UnavailableError, match="No SAC model loaded"):
            policy.predict(STATE)
        assert policy.health()["status"] == "no_model"


def test_what_no_server_could_compute_is_not_sent() -> None:
    policy = Policy("http://localhost:9")
    for observation in ([np.nan, 0.0, 0.0], [1e39, 0.0, 0.0]):
        with pytest.raises(SacServingError, match="not finite"), np.errstate(over="ignore"):
            policy.predict(observation)
    for shape in ((), (1, 2, 3)):
        with pytest.raises(SacServingError, match="shape"):
            policy.predict(np.zeros(shape))


def test_the_readmes_example_works_as_it_is_written(
    serve: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAC_API_TOKEN", "secret")
    example = examples()[0].replace("http://localhost:8000", serve("--dir", folder).url)
    names: dict[str, Any] = {"observation": STATE, "observations": [STATE, STATE]}
    exec(example, names)
    assert names["action"] == computed(folder / "model_a.onnx") and names["actions"].shape == (2, 1)
    assert "model_a.onnx" in capsys.readouterr().out


@pytest.mark.parametrize("token", ["…", "two words", "line\n", "\x7f", "", "secret\u00a0"])
def test_a_token_that_no_header_carries_is_refused_in_words_that_do_not_repeat_it(token: str) -> None:
    with pytest.raises(SacServingError, match="the token cannot be sent") as error:
        Policy("localhost:8000", token)
    assert "secret" not in str(error.value)


def test_the_address_of_a_server_is_taken_as_the_program_takes_it(serve: Any, folder: Path) -> None:
    url = serve("--dir", folder).url
    for address in (url, url.replace("http://", ""), url + "/"):
        with Policy(address) as policy:
            assert policy.predict(STATE)[0] == computed(folder / "model_a.onnx")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost", "expected that of the server, as HOST:PORT"),
        ("localhost:port", "a port that is no number"),
        ("ftp://localhost", "'ftp://localhost' is no URL of a server"),
        ("http://", "no URL of a server"),
        ("http://localhost/é", "no URL of a server"),
        ("http://me:secret@localhost", "the URL has a user"),
        ("me:secret@localhost:8000", "the URL has a user"),
        ("http://me:sec/ret@localhost", "the URL has no host, or a port that is no number"),
        ("http://localhost:8000/sac", r"expected, http://localhost:8000$"),
        ("localhost:8000/sac/predict", r"expected, http://localhost:8000$"),
        ("https://host/policies/sac/sac/predict?x=1", r"expected, https://host/policies/sac$"),
        ("http://localhost:8000?token=1", r"expected, http://localhost:8000$"),
    ],
)
def test_a_url_that_is_no_servers_is_refused_with_the_one_that_is_expected(url: str, reason: str) -> None:
    with pytest.raises(SacServingError, match=reason) as error:
        Policy(url)
    assert "secret" not in str(error.value)
    assert isinstance(error.value, ValueError)


def test_a_certificate_that_cannot_be_read_and_a_host_that_is_no_name_are_errors_of_this_package(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for name in ("junk.pem", "none.pem"):
        with pytest.raises(SacServingError, match=name):
            Policy("https://localhost:1", ca_cert=tmp_path / name)
    with pytest.raises(UnreachableError, match="cannot be asked"):
        Policy("http://a..b:1").predict(STATE)


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


_children: list[Policy] = []


def _ask(state: Any) -> Any:
    return _children[0].predict(state)[0]


def test_a_policy_of_a_root_is_asked_by_its_prefix(serve: Any, tmp_path: Path) -> None:
    put("pendulum_00500", tmp_path / "BTC-USD" / "model_1.onnx")
    put("pendulum_08000", tmp_path / "ETH-USD" / "model_1.onnx")
    url = serve("--root", tmp_path).url
    for name in ("BTC-USD", "ETH-USD"):
        with Policy(f"{url}/policies/{name}/") as policy:
            action, info = policy.predict(STATE)
            assert action == computed(tmp_path / name / "model_1.onnx")
            assert Path(info["model_path"]).parent.name == name
    with Policy(f"{url}/policies/nobody") as policy, pytest.raises(StatusError) as error:
        policy.predict(STATE)
    assert error.value.status == 404


def test_a_server_on_a_unix_socket_is_asked_by_the_path(serve: Any, tmp_path: Path) -> None:
    put("pendulum_00500", tmp_path / "BTC-USD" / "model_1.onnx")
    server = serve("--root", tmp_path, "--default", "BTC-USD", listen=f"unix:{tmp_path}/http.sock")
    expected = computed(tmp_path / "BTC-USD" / "model_1.onnx")
    for url in (server.url, f"{server.url}:/policies/BTC-USD"):
        with Policy(url) as policy:
            assert policy.predict(STATE)[0] == expected and policy.predict(STATE)[0] == expected
            assert len(policy._connections._idle) == 1
    with Policy(f"{server.url}:/policies/nobody") as policy, pytest.raises(StatusError, match="404"):
        policy.predict(STATE)
    server.stop()
    with Policy(server.url) as policy, pytest.raises(UnreachableError, match=f"^{server.url} cannot be asked"):
        policy.predict(STATE)
    with pytest.raises(ValueError, match="expected unix:PATH"):
        Policy("unix:")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing, which makes the certificate")
def test_https_is_spoken_with_a_server_whose_certificate_is_trusted(serve: Any, folder: Path, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*make, *names, "-keyout", key, "-out", chain], check=True, capture_output=True)
    url = serve("--dir", folder, "--tls-cert", chain, "--tls-key", key).url
    url = url.replace("http://", "https://")
    with Policy(url, ca_cert=chain) as policy:
        assert policy.predict(STATE)[0] == computed(folder / "model_a.onnx")
    with Policy(url) as policy, pytest.raises(UnreachableError, match="certificate"):
        policy.predict(STATE)
