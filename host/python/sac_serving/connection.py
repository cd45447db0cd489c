"""Connections that are kept from one request to the next.

They are the standard library's. With urllib3, whose pool and retries would replace this file, a prediction takes twice as
long: 0.16 ms instead of 0.08 ms on one machine.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import TIMEOUT_MAX
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from .errors import ArgumentError, UnreachableError

LOCALHOST = "http://localhost"
"""The URL of a server on a Unix socket. One without a token answers to this name."""


class Response(NamedTuple):
    """The answer of a server."""

    status: int
    body: bytes
    retry_after: str | None


class UnixConnection(HTTPConnection):
    """A connection by a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path, self._timeout = path, timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout)
        self.sock.connect(self._path)


class Connections:
    """Connections to one server, as many as there are requests at a time. Threads may share them."""

    def __init__(self, url: str, timeout: float, ca_cert: str | os.PathLike[str] | None) -> None:
        if not (isinstance(timeout, (int, float)) and 0 < timeout <= TIMEOUT_MAX):
            raise ArgumentError(f"timeout is {timeout!r}: expected a number of seconds, above 0")
        self._socket, url = _socket_and_url(url)
        parts = _parts(url, self._socket)
        self.prefix = parts.path.rstrip("/")
        self._host, self._port, self._timeout = str(parts.hostname), parts.port, timeout
        self._tls = _tls(ca_cert) if parts.scheme == "https" else None
        self._origin = f"{parts.scheme}://{parts.netloc}" if self._socket is None else f"unix:{self._socket}"
        self._idle: deque[HTTPConnection] = deque()
        self._process = os.getpid()

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Response:
        """Sends a request, and sends it again if a connection that was kept turns out to be closed."""
        if self._process != os.getpid():
            # After a fork, both processes would read from the same connections, and each get the other's answers.
            self._idle, self._process = deque(), os.getpid()
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:
                return self._exchange(kept, method, path, body, headers)
            except socket.timeout as error:
                raise self._unreachable(error) from error
            except (OSError, HTTPException):
                # The server has closed the others as well, most likely.
                self.close()
        try:
            return self._exchange(self._open(), method, path, body, headers)
        # A host that cannot be a name gives a UnicodeError.
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Closes the connections that no request uses."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _open(self) -> HTTPConnection:
        if self._socket is not None:
            return UnixConnection(self._socket, self._timeout)
        if self._tls is not None:
            return HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        return HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _exchange(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Response:
        try:
            connection.request(method, self.prefix + path, body, headers)
            response = connection.getresponse()
            answer = Response(response.status, response.read(), response.getheader("retry-after"))
        except BaseException:
            # An answer that arrives later must not be taken for that of the next request.
            connection.close()
            raise
        # None if the server closes the connection after this answer.
        if connection.sock is not None:
            self._idle.append(connection)
        return answer

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = f"no answer within {self._timeout:g} s" if isinstance(error, socket.timeout) else repr(error)
        return UnreachableError(f"{self._origin} cannot be asked: {reason}")


def _socket_and_url(url: str) -> tuple[str | None, str]:
    """Splits unix:PATH or unix:PATH:/policies/NAME into the path of a socket and a URL. Any other URL stays as it is."""
    if not url.startswith("unix:"):
        return None, url
    if not hasattr(socket, "AF_UNIX"):
        raise ArgumentError(f"{url!r} is a Unix socket, and Python has none on this system")
    path, colon, prefix = url[len("unix:") :].partition(":/")
    if not path:
        raise ArgumentError(f"{url!r} has no path: expected unix:PATH, such as unix:/run/sac-serving/http.sock")
    return path, f"{LOCALHOST}/{prefix}" if colon else LOCALHOST


def _parts(url: str, path_of_socket: str | None) -> SplitResult:
    """Splits a URL, or HOST:PORT. With a socket, errors name it in place of the host."""
    forms = "HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH"
    expected = f"expected that of the server, as {forms}, or one below /policies/NAME"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
        # Without a scheme, a port that is not written down may be forgotten.
        is_complete = bool(parts.hostname) and ("://" in url or port is not None)
    except ValueError:
        # The URL is not repeated, here and below: it may hold a password.
        raise ArgumentError(f"the URL has no host, or a port that is no number: {expected}") from None
    if parts.username is not None:
        raise ArgumentError(f"the URL has a user, and a server takes only a token: {expected}")
    if parts.scheme not in ("http", "https") or not is_complete or not url.isascii():
        shown = url if path_of_socket is None else f"unix:{path_of_socket}:{url[len(LOCALHOST) :]}"
        raise ArgumentError(f"{shown!r} is no URL of a server: {expected}")
    # A policy may have this name.
    route = re.search(r"(?<!/policies)/sac(/.*)?$", parts.path)
    prefix = (parts.path[: route.start()] if route else parts.path).rstrip("/")
    if path_of_socket is None:
        base = f"{parts.scheme}://{parts.netloc}{prefix}"
    else:
        base = f"unix:{path_of_socket}:{prefix}" if prefix else f"unix:{path_of_socket}"
    if route or parts.query or parts.fragment:
        raise ArgumentError(f"the URL names a route or a query: the server's alone is expected, {base}")
    return parts


def _tls(ca_cert: str | os.PathLike[str] | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_cert)
    except OSError as error:
        raise ArgumentError(f"the certificate to trust cannot be read from {ca_cert}: {error}") from error
