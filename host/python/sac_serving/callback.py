"""Publishes checkpoints while Stable-Baselines3 trains."""

from __future__ import annotations

import os
import warnings
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from .errors import ArgumentError, SacServingError
from .publish import publish

ON_ERROR = ("warn", "raise")
"""The values of `on_error`."""


class PublishCallback(BaseCallback):
    """Publishes the model into `folder` each `every` steps of the environment, and at the end of the training: as
    model_STEPS.zip, or model_STEPS_end.zip if there is one of the last step already.

    The statistics of VecNormalize go with it, if the environment has it. A model that no server takes is an error before it
    learns. A checkpoint that cannot be published later, as on a full disk, is a warning, and the training goes on; with
    on_error="raise" it ends the training.

    A second `learn` counts its steps from 0, and replaces the files of the same steps, unless reset_num_timesteps=False lets it
    count on. The other arguments are those of `publish`:

        model.learn(1_000_000, callback=PublishCallback("checkpoints", every=10_000))
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: int, *, on_error: str = "warn", verbose: int = 0, **options: Any
    ) -> None:
        super().__init__(verbose)
        if every < 1:
            raise ArgumentError(f"every is {every}: expected a number of steps, 1 or more")
        if on_error not in ON_ERROR:
            raise ArgumentError(f"on_error is {on_error!r}: expected one of {', '.join(ON_ERROR)}")
        self._folder, self._every, self._on_error, self._options = folder, every, on_error, options
        self._published = 0

    def _on_training_start(self) -> None:
        # A model that learns on has the steps of before.
        self._published = self.num_timesteps
        # The files of the folder that count for all checkpoints count for this one too.
        publish(self.model, self._folder, dry_run=True, **self._options)

    def _on_step(self) -> bool:
        if self.num_timesteps - self._published >= self._every:
            self._publish()
        return True

    def _on_training_end(self) -> None:
        # The gradient steps after the last step have changed the model, so it is another one than the one of that step.
        is_new = self.num_timesteps != self._published or "name" in self._options
        self._publish({} if is_new else {"name": f"model_{self.num_timesteps:08}_end"})

    def _publish(self, names: dict[str, str] | None = None) -> None:
        self._published = self.num_timesteps
        try:
            path = publish(self.model, self._folder, **{**self._options, **(names or {})})
        except (OSError, SacServingError) as error:
            if self._on_error == "raise":
                raise
            warnings.warn(f"the model of step {self.num_timesteps} is not published: {error}", stacklevel=2)
        else:
            if self.verbose > 0:
                print(f"published {path}")
