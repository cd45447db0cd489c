"""Publishes checkpoints while Stable-Baselines3 trains."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from .errors import ArgumentError
from .publish import publish


class PublishCallback(BaseCallback):
    """Publishes the model into `folder` each `every` steps of the environment, and at the end of the training.

    The statistics of VecNormalize go with it, if the environment has it. A model that no server takes is an error before it
    learns. The other arguments are those of `publish`:

        model.learn(1_000_000, callback=PublishCallback("checkpoints", every=10_000))
    """

    def __init__(self, folder: str | os.PathLike[str], every: int, *, verbose: int = 0, **options: Any) -> None:
        super().__init__(verbose)
        if every < 1:
            raise ArgumentError(f"every is {every}: expected a number of steps, 1 or more")
        self._folder, self._every, self._options = folder, every, options
        self._published = 0

    def _on_training_start(self) -> None:
        # A model that learns on has the steps of before.
        self._published = self.num_timesteps
        with tempfile.TemporaryDirectory() as trial:
            publish(self.model, trial, **self._options)

    def _on_step(self) -> bool:
        if self.num_timesteps - self._published >= self._every:
            self._publish()
        return True

    def _on_training_end(self) -> None:
        # Also if the last step was published: the gradient steps after it have changed the model.
        self._publish()

    def _publish(self) -> None:
        path = publish(self.model, self._folder, **self._options)
        self._published = self.num_timesteps
        if self.verbose > 0:
            print(f"published {path}")
