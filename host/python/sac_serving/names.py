"""The names of checkpoints that a server finds in its folder, as its --pattern says."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import ArgumentError

PATTERN = "model_*"
"""The --pattern of a server, unless it is given another."""

EXTENSIONS = (".onnx", ".pt", ".pth", ".zip", ".safetensors", ".ckpt", ".pt2", ".d3", ".msh", ".cleanrl_model")
"""The ends of the names that such a pattern takes."""


def check_name(name: str, pattern: str | None, example: str) -> None:
    """Refuses what is no name of a file, and a name that a server does not find. None takes any name."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise ArgumentError(f"{name!r} is no name of a file: expected one such as {example}, without a folder")
    if pattern is not None and not is_found(name, pattern):
        raise ArgumentError(
            f"a server does not find {name}, since its --pattern is {pattern!r}: expected a name that it takes, such as"
            f" {example} by default, or pattern= with that of your server"
        )


def is_found(name: str, pattern: str) -> bool:
    """Returns true if a server with this --pattern takes a file of this name."""
    suffix = Path(name).suffix
    is_checkpoint = suffix.lower() in EXTENSIONS
    # The extension is matched in any case of letters.
    spellings = {name, name[: len(name) - len(suffix)] + suffix.lower()}
    return any(
        # A glob that ends in * takes the names that end as checkpoints do.
        (is_checkpoint or not glob.endswith("*"))
        and (glob.startswith(".") or not name.startswith("."))
        and any(fnmatchcase(spelling, choice) for spelling in spellings for choice in _choices(glob))
        for glob in _globs(pattern)
    )


def _globs(pattern: str) -> list[str]:
    """Splits globs at the commas that are not within braces."""
    globs, depth = [""], 0
    for character in pattern:
        depth = max(0, depth + (character == "{") - (character == "}"))
        if character == "," and depth == 0:
            globs.append("")
        else:
            globs[-1] += character
    return [glob.strip() for glob in globs]


def _choices(glob: str) -> list[str]:
    """Returns the globs without braces that a glob stands for."""
    # The innermost braces are written out first.
    braces = re.search(r"\{([^{}]*)\}", glob)
    if braces is None:
        # Python's globs negate a set in this way alone.
        return [glob.replace("[^", "[!")]
    parts = (glob[: braces.start()] + choice + glob[braces.end() :] for choice in braces[1].split(","))
    return [choice for part in parts for choice in _choices(part)]
