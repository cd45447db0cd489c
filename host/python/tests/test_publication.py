"""Files that are renamed into the folder of a server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import names

from sac_serving import publication


def test_a_file_that_windows_does_not_replace_while_it_is_read_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refusals = os.replace, iter([True, True])

    def refusing(source: str, target: str) -> None:
        if next(refusals, False):
            raise PermissionError(13, "another process reads it")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    for refuses_while_read in (False, True):
        monkeypatch.setattr(publication, "REFUSES_WHILE_READ", refuses_while_read)
        with publication.Publication(tmp_path, "model_1.pt") as files:
            files.add("", lambda file: file.write(b"content"))
            if refuses_while_read:
                files._rename("")
            else:
                with pytest.raises(PermissionError):
                    files._rename("")
    assert (tmp_path / "model_1.pt").read_bytes() == b"content"
    assert names(tmp_path) == ["model_1.pt"]
