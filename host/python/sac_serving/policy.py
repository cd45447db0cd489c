"""A policy that a server computes."""

from __future__ import annotations

import json
import operator
import os
import time
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .answers import Health, PredictInfo, actions_and_info
from .connection import Connections, Response
from .errors import ArgumentError, BadRequestError, status_error
from .observation import numbers

#: How often a request is sent again that the server has no room for.
RETRIES = 3
#: The longest pause before that, in seconds, whatever the server asks for.
LONGEST_PAUSE = 5.0


class Policy:
    """A policy that the server at `url` computes, always by its newest checkpoint.

    url: the server's, as "localhost:8000" or "http://localhost:8000", or that of one of many policies:
        "http://localhost:8000/policies/NAME". A Unix socket is "unix:/run/sac-serving/http.sock", with ":/policies/NAME" after
        it for one of many.
    token: the one that the server is configured with, if it is.
    timeout: seconds that the server may stay silent, while connecting or computing.
    ca_cert: a file with the certificate to trust, in place of the system's.

    Threads may share a policy: each request at a time has a connection of its own, which is kept for the next one. A process
    that is forked opens its own.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        ca_cert: str | os.PathLike[str] | None = None,
    ) -> None:
        self._connections = Connections(url, timeout, ca_cert)
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {_checked(token)}"
        self.url = url
        #: A shape that turned out to be one state, so that it is not asked for as a batch again.
        self._shape_of_one: tuple[int, ...] | None = None

    def predict(
        self,
        observation: ArrayLike,
        state: object = None,
        episode_start: object = None,
        deterministic: bool = True,
        *,
        seed: int | None = None,
    ) -> tuple[NDArray[np.float32], PredictInfo]:
        """Returns the action for an observation, or the actions for a batch of them, and what computed them.

        observation: numbers of the shape [state_dim], or [n, state_dim] for a batch. More axes are flattened, as by
            Stable-Baselines3: they are a batch if each element of the first has state_dim numbers, and one state if all have.
        deterministic: the mean, which is the default here; a sample if it is False.
        seed: makes a sample repeatable.
        state, episode_start: have no meaning here. Stable-Baselines3 passes them to what it evaluates, such as this policy.
        """
        observations = numbers(observation)
        request: dict[str, Any] = {"deterministic": bool(deterministic)}
        if seed is not None:
            request["seed"] = _whole(seed)
        if observations.ndim == 1:
            return self._one(observations, request)
        if observations.shape == self._shape_of_one:
            try:
                return self._one(observations, request)
            except BadRequestError:
                # Another checkpoint may take states of another dimension.
                self._shape_of_one = None
        batch = observations.reshape(len(observations), -1)
        try:
            return self._batch(batch, request)
        except BadRequestError as error:
            if error.status != 400 or not self._is_one(batch):
                raise
        self._shape_of_one = observations.shape
        return self._one(observations, request)

    def info(self) -> dict[str, Any]:
        """Returns the fields of /sac/model/info: the checkpoint in service, its facts, and why a newer one is refused."""
        return self._ask("GET", "/sac/model/info")

    def health(self) -> Health:
        """Returns the server's health, of a server without a policy too."""
        response = self._connections.ask("GET", "/sac/health", None, self._headers)
        content = _content(response)
        if isinstance(content, dict) and "status" in content:
            return cast(Health, content)
        raise status_error(response.status, _detail(content))

    def reload(self) -> dict[str, Any]:
        """Loads the newest checkpoint even if nothing changed. A refused one is a `StatusError` that says why."""
        return self._ask("POST", "/sac/model/reload")

    def close(self) -> None:
        """Closes the kept connections. The next request opens one again."""
        self._connections.close()

    def __enter__(self) -> Policy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Policy({self.url!r})"

    def _is_one(self, batch: NDArray[np.float32]) -> bool:
        """Returns true if the rows are one state together, and none by themselves."""
        state_dim = self.info()["state_dim"]
        return bool(batch.size == state_dim != batch.shape[1])

    def _one(self, state: NDArray[np.float32], request: dict[str, Any]) -> tuple[NDArray[np.float32], PredictInfo]:
        answer = self._ask("POST", "/sac/predict", {"state": state.ravel().tolist(), **request})
        return actions_and_info(answer, "action", (-1,))

    def _batch(self, states: NDArray[np.float32], request: dict[str, Any]) -> tuple[NDArray[np.float32], PredictInfo]:
        answer = self._ask("POST", "/sac/predict/batch", {"states": states.tolist(), **request})
        return actions_and_info(answer, "actions", (len(states), -1))

    def _ask(self, method: str, path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        body = None if request is None else json.dumps(request, separators=(",", ":")).encode()
        for attempt in range(RETRIES + 1):
            response = self._connections.ask(method, path, body, self._headers)
            pause = _pause(response)
            if pause is None or attempt == RETRIES:
                break
            time.sleep(pause)
        content = _content(response)
        if response.status == 200 and isinstance(content, dict):
            return content
        raise status_error(response.status, _detail(content))


def _checked(token: str) -> str:
    """Returns a token that a header can carry. An error does not repeat it."""
    if not (token and token.isascii() and token.isprintable()) or " " in token:
        raise ArgumentError(
            "the token cannot be sent: it is empty, or has a blank, a line end or a character beyond ASCII, which no token of a"
            " server has"
        )
    return token


def _whole(seed: object) -> int:
    try:
        return operator.index(cast(Any, seed))
    except TypeError:
        raise ArgumentError(f"seed is {seed!r}: expected a whole number") from None


def _pause(response: Response) -> float | None:
    """Returns the seconds after which the server has room again, if that is why it gives no answer."""
    if response.status != 503 or response.retry_after is None:
        return None
    try:
        seconds = int(response.retry_after)
    except ValueError:
        # A proxy may name a date.
        return 1.0
    return min(max(seconds, 0), LONGEST_PAUSE)


def _content(response: Response) -> Any:
    """Returns what a body holds: text, if it is not the JSON that sac-serving writes but that of something in between."""
    try:
        return json.loads(response.body)
    except ValueError:
        return response.body[:1000].decode("utf-8", "replace")


def _detail(content: Any) -> Any:
    return content.get("detail", content) if isinstance(content, dict) else content
