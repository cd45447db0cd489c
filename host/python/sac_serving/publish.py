"""Puts a checkpoint into the folder of a server, whole and with all that belongs to it.

Up to four files are renamed into place, and no call renames all at once. The first is `NAME.sha256`, and the last is the
checkpoint. Each of the others makes the server read the checkpoint, whose digest is not the one that is expected: it refuses
any mixture of old and new files, and the policy in service keeps answering.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from numpy.typing import ArrayLike

from .card import EXAMPLES, Act, card, is_sb3

REFUSES_WHILE_READ = os.name == "nt"
"""Windows replaces no file that another process is reading at this moment."""

PATIENCE = 10.0
"""The seconds for which such a replacement is tried again."""


def publish(
    model: Any,
    folder: str | os.PathLike[str],
    name: str | None = None,
    *,
    act: Act | None = None,
    states: ArrayLike | None = None,
    examples: int = EXAMPLES,
    **facts: Any,
) -> Path:
    """Publishes a checkpoint as `folder/name`, with its card and statistics, and returns its path. The next request sees it.

    model: a model of Stable-Baselines3 or sb3-contrib, with the statistics of the VecNormalize that it was trained in, if any;
        a torch.nn.Module, whose state_dict is saved; or anything else that `torch.save` takes, such as a state_dict.
    name: the file's name; "model_STEPS.zip" for a model of Stable-Baselines3, and "model_TIME.pt" for others, if left out. A
        file of the same name is replaced. The server finds names that begin with "model_", unless its --pattern says otherwise.
    act: a function from a state [state_dim] to the deterministic action, for models that are not of Stable-Baselines3. The
        card then holds examples of it.
    states: [n, state_dim], for these examples; drawn from the observation space of a model of Stable-Baselines3 if left out.
    examples: how many the card has. The server computes them before it serves the checkpoint. 0 writes none.
    facts: keys of a card, such as activation="relu", action_low=[-1.0], action_high=[1.0].
    """
    is_zip = is_sb3(model)
    folder, name = Path(folder), _name(model, name, ".zip" if is_zip else ".pt")
    folder.mkdir(parents=True, exist_ok=True)
    vec_normalize = model.get_vec_normalize_env() if is_zip else None
    proven = model if is_zip else act
    if examples == 0 or (is_zip and states is None and not _has_box(model)):
        proven = None
    with _Publication(folder, name) as files:
        files.add("", lambda file: _save(model, file))
        files.add(".sha256", lambda file: file.write(f"{files.digest('')}  {name}\n".encode()))
        if proven is not None or facts:
            content = card(proven, states, vec_normalize=vec_normalize, examples=examples, **facts)
            files.add(".policy.json", lambda file: file.write(content.encode()))
        if vec_normalize is not None:
            files.add(STATISTICS, lambda file: _save_statistics(vec_normalize, file))
        return files.rename()


STATISTICS = ".vecnormalize.pkl"


def _name(model: Any, name: str | None, extension: str) -> str:
    if name is None:
        if is_sb3(model):
            return f"model_{model.num_timesteps:08}{extension}"
        return f"model_{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}{extension}"
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a file: expected one such as model_1{extension}, without a folder")
    return name if Path(name).suffix else name + extension


def _has_box(model: Any) -> bool:
    return getattr(model.observation_space, "low", None) is not None


def _save(model: Any, file: IO[bytes]) -> None:
    if is_sb3(model):
        model.save(file)
        return
    import torch

    torch.save(model.state_dict() if isinstance(model, torch.nn.Module) else model, file)


def _save_statistics(vec_normalize: Any, file: IO[bytes]) -> None:
    import pickle

    # As VecNormalize.save does, which takes a path.
    pickle.dump(vec_normalize, file)


class _Publication:
    """The files of a checkpoint, under names that no pattern of a server takes, until they are renamed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._target = str(folder / name)
        self._temporary = str(folder / f".{name}.{secrets.token_hex(8)}")
        self._endings: list[str] = []

    def __enter__(self) -> _Publication:
        return self

    def __exit__(self, *_error: object) -> None:
        for ending in self._endings:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(ending))

    def add(self, ending: str, write: Callable[[IO[bytes]], Any]) -> None:
        """Writes the file of this ending. It has the mode of any new file, so that a server of another user may read it."""
        self._endings.append(ending)
        with open(self._path(ending), "xb") as file:
            write(file)
            file.flush()
            # Without this, a machine that loses its power may keep the name and lose the content. The folder is not synced: if
            # the last names are lost, so is the training since.
            os.fsync(file.fileno())

    def digest(self, ending: str) -> str:
        digest = hashlib.sha256()
        with open(self._path(ending), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()

    def rename(self) -> Path:
        """Renames the files, the digest first and the checkpoint last, and returns the checkpoint's path."""
        self._rename(".sha256")
        if STATISTICS not in self._endings:
            # Those of an earlier checkpoint of this name would be applied to this one.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._target + STATISTICS)
        for ending in (".policy.json", STATISTICS):
            if ending in self._endings:
                self._rename(ending)
        self._rename("")
        return Path(self._target)

    def _rename(self, ending: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return os.replace(self._path(ending), self._target + ending)
            except PermissionError:
                # Elsewhere this error does not pass.
                if not REFUSES_WHILE_READ or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _path(self, ending: str) -> str:
        return f"{self._temporary}{ending}.tmp"
