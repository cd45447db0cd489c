"""Asks the program of this package if a server would take a checkpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import warnings
from pathlib import Path

from .errors import RefusedError

PROGRAM = "sac-serving"


def program() -> str | None:
    """Returns the program that was installed with this package, or another one in PATH, if there is any."""
    return shutil.which(PROGRAM, path=sysconfig.get_path("scripts")) or shutil.which(PROGRAM)


def check(checkpoint: Path, name: str) -> None:
    """Refuses a checkpoint that `sac-serving inspect` refuses, with what stands beside it. The error calls it `name`.

    Without the program, nothing is checked.
    """
    found = program()
    if found is None:
        return
    command = [found, "inspect", "--json", "--", str(checkpoint)]
    inspection = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    if inspection.returncode == 0:
        return
    try:
        reason = json.loads(inspection.stdout)["refused"]
    except (ValueError, TypeError, KeyError):
        # The checkpoint is not at fault.
        warnings.warn(f"{name} is published without a check: {found} failed: {inspection.stderr.strip()}", stacklevel=3)
        return
    reason = reason.replace(checkpoint.name, name)
    remedies = ""
    if "FILE.policy.json" in reason:
        remedies += ". Facts are arguments of publish, which writes that file: action_low=[LOW]"
    if "--" in reason:
        remedies += ". If a server has such flags, check=False publishes it all the same"
    raise RefusedError(f"{name} is not published, since a server would refuse it: {reason}{remedies}")
