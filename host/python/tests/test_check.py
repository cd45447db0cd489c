"""The program that is asked before a checkpoint is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from sac_serving import RefusedError, check


def test_a_program_that_fails_is_a_warning_and_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sac-serving"
    program.write_text("#!/bin/sh\necho 'no memory' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("sac_serving.check.program", lambda: str(program))
    with pytest.warns(UserWarning, match=r"model_1\.pt is published without a check.*no memory"):
        check.check(tmp_path / "temporary.pt", "model_1.pt")


def test_the_program_is_the_one_of_this_environment_or_that_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for place in ("path", "scripts"):
        program = tmp_path / place / "sac-serving"
        program.parent.mkdir()
        program.touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        monkeypatch.setattr("sac_serving.check.sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
        found.append(check.program())
    assert found == [str(tmp_path / "path/sac-serving"), str(tmp_path / "scripts/sac-serving")]


@pytest.mark.usefixtures("with_program")
def test_a_checkpoint_that_a_server_would_refuse_is_refused_by_its_name_and_with_the_files_beside_it(folder: Path) -> None:
    checkpoint = folder / "model_a.onnx"
    check.check(checkpoint, "model_1.onnx")
    (folder / "policy.json").write_text('{"activation": "tahn"}')
    with pytest.raises(RefusedError, match=r"^model_1\.onnx is not published.*`tahn` is none of"):
        check.check(checkpoint, "model_1.onnx")
