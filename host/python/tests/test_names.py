"""Names that a server finds, as it says itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import names

from sac_serving import ArgumentError, Policy, publish
from sac_serving.names import EXTENSIONS, is_found

NAMES = [
    "best.pt", "best.zip", "best_a.pt", "best_c.pt", "model_1.pkl", "model_1.PT", "model_1.pt", "model_1.zip", "model_10.zip",
    "model_", "rl_model_100_steps.zip", ".model_1.pt", "MODEL_1.zip", "model_1.zip.tmp", "sac_checkpoint_Hopper_",
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        "model_*",
        "model_*, best*",
        "best.zip",
        "model_*.pkl",
        "model_*.{zip,pt}",
        "{model_?,best_{a,b}}.{zip,pt},rl_model_*_steps.zip",
        "best_[ab].pt",
        "best_[!ab].pt,best_[^xy].pt",
        "rl_model_*",
        "sac_checkpoint_*_",
        ".model_*",
        "*",
    ],
)
def test_the_names_that_are_found_are_those_that_a_server_lists(pattern: str, serve: Any, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"")
    server = serve("--dir", tmp_path, "--pattern", pattern)
    with urlopen(f"{server.url}/sac/model/candidates") as answer:
        listed = {candidate["file"] for candidate in json.load(answer)["candidates"]}
    assert listed == {name for name in NAMES if is_found(name, pattern)}


@pytest.mark.parametrize("name", ["best", "model_1.pkl", "../model_1.zip", "", "..", "runs/model_1.pt"])
def test_a_name_that_the_server_does_not_find_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"(a server does not find|is no name of a file: expected one such as) .*model_1\.pt"
    ):
        publish({}, tmp_path / "checkpoints", name)
    assert names(tmp_path) == []


def test_the_extensions_of_checkpoints_are_those_of_the_server(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with Policy(serve("--dir", tmp_path).url) as policy:
        assert f"is not named model_*.{{{','.join(EXTENSIONS).replace('.', '')}}};" in policy.health()["detail"]
