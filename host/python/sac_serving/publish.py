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
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from .card import EXAMPLES, Act, Facts, card, check_facts, is_sb3
from .check import check as check_with_program
from .errors import ArgumentError, RefusedError

if TYPE_CHECKING:
    from typing_extensions import Unpack

REFUSES_WHILE_READ = os.name == "nt"
"""Windows replaces no file that another process is reading at this moment."""

PATTERN = "model_*"
"""The --pattern of a server, unless it is given another."""

EXTENSIONS = (".onnx", ".pt", ".pth", ".zip", ".safetensors", ".ckpt", ".pt2", ".d3", ".msh", ".cleanrl_model")
"""The ends of the names that such a pattern takes."""

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
    pattern: str | None = PATTERN,
    check: bool = True,
    **facts: Unpack[Facts],
) -> Path:
    """Publishes a checkpoint as `folder/name`, with its card and statistics, and returns its path. The next request sees it.

    model: a model of Stable-Baselines3 or sb3-contrib, with the statistics of the VecNormalize that it was trained in, if any;
        a torch.nn.Module, whose state_dict is saved; or anything else that `torch.save` takes, such as a state_dict.
    name: the file's name; "model_STEPS.zip" for a model of Stable-Baselines3, and "model_TIME.pt" for others, if left out. A
        file of the same name is replaced.
    act: a function from a state [state_dim] to the deterministic action, for models that are not of Stable-Baselines3. The
        card then holds examples of it.
    states: [n, state_dim], for these examples; drawn from the observation space of a model of Stable-Baselines3 if left out.
    examples: how many the card has. The server computes them before it serves the checkpoint. 0 writes none.
    pattern: the --pattern of the server, which finds no other names. None takes any name.
    check: lets `sac-serving inspect` read the checkpoint before a server does, if the program is there.
    facts: keys of a card, such as activation="relu", action_low=[-1.0], action_high=[1.0].

    Nothing is published that a server is known to refuse: that is an `ArgumentError` or a `RefusedError`.
    """
    is_zip = is_sb3(model)
    folder, name = Path(folder), _name(model, name, ".zip" if is_zip else ".pt", pattern)
    check_facts(facts)
    if is_zip:
        _check_algorithm(model)
    folder.mkdir(parents=True, exist_ok=True)
    vec_normalize = model.get_vec_normalize_env() if is_zip else None
    proven = model if is_zip else act
    if examples == 0 or (is_zip and states is None and not _has_box(model)):
        proven = None
    with _Publication(folder, name) as files:
        files.add("", lambda file: _save(model, file))
        if proven is not None or facts:
            content = card(proven, states, vec_normalize=vec_normalize, examples=examples, **facts)
            files.add(".policy.json", lambda file: file.write(content.encode()))
        else:
            files.keep(".policy.json")
        if vec_normalize is not None:
            files.add(STATISTICS, lambda file: _save_statistics(vec_normalize, file))
        if check:
            check_with_program(files.path(""), name)
        # It names the file, so it would not count for the temporary one.
        files.add(".sha256", lambda file: file.write(f"{files.digest('')}  {name}\n".encode()))
        return files.rename()


STATISTICS = ".vecnormalize.pkl"


def _name(model: Any, name: str | None, extension: str, pattern: str | None) -> str:
    """Returns the name of the file, which the server finds."""
    if name is None:
        steps = f"{model.num_timesteps:08}" if is_sb3(model) else f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
        name = f"model_{steps}"
    if name in ("", ".", "..") or Path(name).name != name:
        raise ArgumentError(f"{name!r} is no name of a file: expected one such as model_1{extension}, without a folder")
    name = name if Path(name).suffix else name + extension
    if pattern is not None and not any(_matches(name, glob.strip()) for glob in pattern.split(",")):
        raise ArgumentError(
            f"a server does not find {name}, since its --pattern is {pattern!r}: expected a name that it takes, such as"
            f" model_1{extension} by default, or pattern= with that of your server"
        )
    return name


def _matches(name: str, glob: str) -> bool:
    """Returns true if a glob of a server takes a name: one that ends in * takes the names that end as checkpoints do."""
    takes_extension = not glob.endswith("*") or Path(name).suffix.lower() in EXTENSIONS
    return takes_extension and fnmatchcase(name, glob)


def _check_algorithm(model: Any) -> None:
    """Refuses models without an actor, such as those of PPO and DQN."""
    if getattr(getattr(model, "policy", None), "actor", None) is None:
        raise RefusedError(
            f"a model of {type(model).__name__} is not published, since a server would refuse it: it has no actor, as those of"
            " SAC, TQC, CrossQ, TD3 and DDPG have"
        )


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
        # The extension stays: the server looks for the statistics of some alone.
        self._temporary = str(folder / f".{secrets.token_hex(8)}.{name}")
        self._endings: list[str] = []

    def __enter__(self) -> _Publication:
        return self

    def __exit__(self, *_error: object) -> None:
        for ending in self._endings:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(ending))

    def add(self, ending: str, write: Callable[[IO[bytes]], Any]) -> None:
        """Writes the file of this ending. It has the mode of any new file, so that a server of another user may read it."""
        self._endings.append(ending)
        with open(self.path(ending), "xb") as file:
            write(file)
            file.flush()
            # Without this, a machine that loses its power may keep the name and lose the content. The folder is not synced: if
            # the last names are lost, so is the training since.
            os.fsync(file.fileno())

    def keep(self, ending: str) -> None:
        """Takes the file of this ending that is there, if any: it counts for the new checkpoint as well."""
        with contextlib.suppress(FileNotFoundError):
            content = Path(self._target + ending).read_bytes()
            self.add(ending, lambda file: file.write(content))

    def path(self, ending: str) -> Path:
        return Path(self._temporary + ending)

    def digest(self, ending: str) -> str:
        digest = hashlib.sha256()
        with open(self.path(ending), "rb") as file:
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
                return os.replace(self.path(ending), self._target + ending)
            except PermissionError:
                # Elsewhere this error does not pass.
                if not REFUSES_WHILE_READ or time.monotonic() > until:
                    raise
            time.sleep(0.01)
