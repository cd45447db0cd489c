"""Addresses of servers, and what is sent to them: tokens, TLS, Unix sockets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import STATE, computed, put

from sac_serving import ArgumentError, Policy, SacServingError, StatusError, UnreachableError


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), "30"])
def test_a_timeout_that_no_connection_takes_is_refused(timeout: Any) -> None:
    with pytest.raises(ArgumentError, match=r"timeout is .*: expected a number of seconds, above 0"):
        Policy("localhost:8000", timeout=timeout)


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
    for url, reason in [
        ("unix:", "expected unix:PATH"),
        (f"{server.url}:/policies/BTC-USD/sac/predict", f"expected, {server.url}:/policies/BTC-USD$"),
        (f"{server.url}:/sac?x=1", f"expected, {server.url}$"),
        (f"{server.url}:/é", f"'{server.url}:/é' is no URL of a server"),
    ]:
        with pytest.raises(ArgumentError, match=reason):
            Policy(url)


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
