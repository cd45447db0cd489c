"""The examples of the package's page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import STATE, WORKSPACE, computed, examples


@pytest.mark.parametrize("token", [None, "secret"])
def test_the_readmes_example_works_as_it_is_written(
    token: str | None, serve: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if token is None:
        monkeypatch.delenv("SAC_API_TOKEN", raising=False)
    else:
        monkeypatch.setenv("SAC_API_TOKEN", token)
    example = examples()[0].replace("http://localhost:8000", serve("--dir", folder).url)
    names: dict[str, Any] = {"observation": STATE, "observations": [STATE, STATE]}
    exec(example, names)
    assert names["action"] == computed(folder / "model_a.onnx") and names["actions"].shape == (2, 1)
    assert "model_a.onnx" in capsys.readouterr().out


UNKNOWN = """from typing import Any

model: Any
actor: Any
act: Any
states: Any
observation: list[float]
observations: list[list[float]]
"""


def test_the_types_of_the_readmes_examples_are_those_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="the types of the examples are not tested: pip install mypy")
    files = [tmp_path / f"example_{place}.py" for place, _ in enumerate(examples())]
    for file, example in zip(files, examples()):
        file.write_text(UNKNOWN + example)
    options = ["--strict", f"--config-file={WORKSPACE / 'pyproject.toml'}", f"--cache-dir={tmp_path}"]
    # The package is installed nowhere.
    environment = {**os.environ, "MYPYPATH": str(WORKSPACE / "host/python")}
    checked = subprocess.run([sys.executable, "-m", "mypy", *options, *files], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
