"""Puts the files of a checkpoint into a folder, so that a server takes all of them or none.

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
from pathlib import Path
from typing import IO, Any

STATISTICS = ".vecnormalize.pkl"
"""The end of the name of a file that holds the statistics of VecNormalize."""

REFUSES_WHILE_READ = os.name == "nt"
"""Windows replaces no file that another process is reading at this moment."""

PATIENCE = 10.0
"""The seconds for which such a replacement is tried again."""


class Publication:
    """The files of a checkpoint, under names that no pattern of a server takes, until they are renamed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._made = [made for made in (folder, *folder.parents) if not made.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._target = str(folder / name)
        # The name ends as that of the checkpoint does, on which the files that a server looks for beside it depend.
        self._temporary = str(folder / f".{secrets.token_hex(8)}.{name}")
        self._endings: list[str] = []

    def __enter__(self) -> Publication:
        return self

    def __exit__(self, *_error: object) -> None:
        for ending in self._endings:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(ending))
        for folder in self._made:
            # Those of a checkpoint that was published are not empty.
            with contextlib.suppress(OSError):
                folder.rmdir()

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
