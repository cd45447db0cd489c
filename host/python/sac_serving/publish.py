"""Publishes checkpoints: models of Stable-Baselines3, modules and state_dicts of PyTorch, with all that belongs to them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from .card import EXAMPLES, Act, Facts, card, check_facts
from .check import check as check_with_program
from .errors import ArgumentError, RefusedError
from .names import PATTERN, check_name
from .publication import STATISTICS, Publication
from .sb3 import is_model, is_part, vec_normalize_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


def publish(
    model: Any,
    folder: str | os.PathLike[str],
    name: str | None = None,
    *,
    act: Act | None = None,
    states: ArrayLike | None = None,
    vec_normalize: Any = None,
    examples: int = EXAMPLES,
    pattern: str | None = PATTERN,
    check: bool = True,
    dry_run: bool = False,
    **facts: Unpack[Facts],
) -> Path:
    """Publishes a checkpoint as `folder/name`, with its card and statistics, and returns its path. The next request sees it.

    model: a model of Stable-Baselines3 or sb3-contrib, with the statistics of the VecNormalize that it was trained in, if any;
        a torch.nn.Module, which is saved whole if it consists of plain layers and activations, and as its state_dict
        otherwise; or anything else that `torch.save` takes, such as a state_dict.
    name: the file's name; "model_STEPS.zip" for a model of Stable-Baselines3, and "model_TIME.pt" for others, if left out. A
        file of the same name is replaced.
    act: a function from a state [state_dim] to the deterministic action, for models that are not of Stable-Baselines3. The
        card then holds examples of it.
    states: [n, state_dim], for these examples; drawn from the observation space of a model of Stable-Baselines3 if left out.
    vec_normalize: the VecNormalize of the training, for a model that was loaded without its environment.
    examples: how many the card has. The server computes them before it serves the checkpoint. 0 writes none.
    pattern: the --pattern of the server, which finds no other names. None takes any name.
    check: lets `sac-serving inspect` read the checkpoint before a server does, if the program is there.
    dry_run: does all of this, beside the files that are in the folder, and publishes nothing.
    facts: keys of a card, such as activation="relu", action_low=[-1.0], action_high=[1.0].

    Nothing is published that a server is known to refuse: that is an `ArgumentError` or a `RefusedError`.
    """
    is_zip = is_model(model)
    _check_kind(model)
    folder, name = Path(folder), _name(model, name, pattern)
    check_facts(facts)
    vec_normalize = vec_normalize_of(model, vec_normalize, facts) if is_zip else None
    proven = model if is_zip else act
    if examples == 0 or (is_zip and states is None and not _has_box(model)):
        proven = None
    with Publication(folder, name) as files:
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
        return Path(folder, name) if dry_run else files.rename()


def _name(model: Any, name: str | None, pattern: str | None) -> str:
    """Returns the name of the file, which the server finds."""
    is_zip = is_model(model)
    extension = ".zip" if is_zip else ".pt"
    if name is None:
        steps = f"{model.num_timesteps:08}" if is_zip else f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}"
        name = f"model_{steps}"
    name = name if Path(name).suffix or not Path(name).name else name + extension
    check_name(name, pattern, f"model_1{extension}")
    return name


def _check_kind(model: Any) -> None:
    """Refuses models without an actor, such as those of PPO and DQN, and parts of a model."""
    kind = type(model).__name__
    if is_part(model):
        raise ArgumentError(
            f"this {kind} is a part of a model of Stable-Baselines3, and does not know the statistics of VecNormalize: expected"
            f" the model itself, or the state_dict() of this {kind} with the facts that it lacks"
        )
    if is_model(model) and getattr(getattr(model, "policy", None), "actor", None) is None:
        raise RefusedError(
            f"a model of {kind} is not published, since a server would refuse it: it has no actor, as those of SAC, TQC,"
            " CrossQ, TD3 and DDPG have"
        )


def _has_box(model: Any) -> bool:
    return getattr(model.observation_space, "low", None) is not None


def _save(model: Any, file: IO[bytes]) -> None:
    if is_model(model):
        model.save(file)
        return
    import torch

    # Saved whole, a module names its activations. The code of other classes, and of hooks, would not be in the file.
    is_opaque = isinstance(model, torch.nn.Module) and not all(map(_is_plain, model.modules()))
    torch.save(model.state_dict() if is_opaque else model, file)


#: The classes of PyTorch that a server reads in a module that is saved whole.
PLAIN = ("Sequential", "Linear", "LayerNorm", "ReLU", "LeakyReLU", "ELU", "SiLU", "GELU", "Tanh", "Sigmoid")


def _is_plain(module: Any) -> bool:
    kind = type(module)
    has_hooks = bool(module._forward_hooks or module._forward_pre_hooks)
    return kind.__module__.startswith("torch.nn.modules.") and kind.__name__ in PLAIN and not has_hooks


def _save_statistics(vec_normalize: Any, file: IO[bytes]) -> None:
    import pickle

    # As VecNormalize.save does, which takes a path.
    pickle.dump(vec_normalize, file)
