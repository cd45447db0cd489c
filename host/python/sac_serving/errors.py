"""Errors of this package, of a server, and of the way to it."""

from typing import Any


class SacServingError(Exception):
    """A request has no answer that could be used, or a checkpoint is not published."""


class ArgumentError(SacServingError, ValueError):
    """An argument is wrong, which is noticed before anything is sent or written."""


class RefusedError(SacServingError, ValueError):
    """A server would refuse the checkpoint, so it is not published."""


class UnreachableError(SacServingError):
    """The server cannot be reached, closes the connection, or does not answer within the timeout."""


class StatusError(SacServingError):
    """The server answers with an error."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(status, detail)
        self.status = status
        #: A sentence; for a 422, a list of `loc`, `msg` and `type`.
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"


class BadRequestError(StatusError, ValueError):
    """The server refuses the request as such (400, 422), for example because the observation has another dimension."""


class UnauthorizedError(StatusError):
    """The token is missing or wrong (401), or the server answers no such client without one (403)."""


class UnavailableError(StatusError):
    """The server has no policy, or no room for the request (503)."""


def status_error(status: int, detail: Any) -> StatusError:
    """Returns the error of a status."""
    kinds = {400: BadRequestError, 422: BadRequestError, 401: UnauthorizedError, 403: UnauthorizedError, 503: UnavailableError}
    return kinds.get(status, StatusError)(status, detail)
