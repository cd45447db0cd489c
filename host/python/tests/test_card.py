"""Cards, whose keys and values the server knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORKSPACE, names

from sac_serving import ArgumentError, Facts, publish, write_card


def test_a_key_of_a_card_that_is_misspelt_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    misspelt: Any = {"activaton": "relu"}
    other: Any = {"zzz": 1}
    for call in (
        lambda facts: publish({}, tmp_path, **facts),
        lambda facts: write_card(tmp_path / "model_1", None, **facts),
    ):
        with pytest.raises(ArgumentError, match="activaton is no key of a card: did you mean activation"):
            call(misspelt)
        with pytest.raises(ArgumentError, match=r"expected one of activation, action_low, .*outputs$"):
            call(other)
    assert names(tmp_path) == []


def test_the_keys_of_a_card_are_those_of_the_table() -> None:
    text = (WORKSPACE / "component/actor/README.md").read_text()
    table = text[text.index("| Key | Meaning |") :].split("\n\n")[0]
    keys = [key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert keys == [*Facts.__annotations__, "examples"]


def test_a_value_that_is_no_json_is_refused_with_the_word_that_is_expected(tmp_path: Path) -> None:
    class ReLU:
        """A module of PyTorch has this name."""

    for facts, reason in [
        ({"activation": ReLU}, r"activation is <class .*ReLU'>: expected a word, such as \"relu\""),
        ({"activation": ReLU()}, r"expected a word, such as \"relu\""),
        ({"activation": np.tanh}, r"expected a word, such as \"tanh\""),
        ({"action_low": ReLU()}, "action_low is .*: expected numbers, words or lists of them"),
    ]:
        given: Any = facts
        for call in (
            lambda facts: publish({}, tmp_path, **facts),
            lambda facts: write_card(tmp_path / "model_1", None, **facts),
        ):
            with pytest.raises(ArgumentError, match=reason):
                call(given)
    assert names(tmp_path) == []


def test_a_card_holds_the_facts_and_the_examples_of_a_function(tmp_path: Path) -> None:
    facts: Any = {"action_low": np.array([-2.0]), "action_high": np.float32(2.0), "normalisation": "none"}
    path = write_card(tmp_path / "model_1.pt", lambda state: 2 * state[:1], np.ones((3, 2)), examples=1, **facts)
    assert json.loads(Path(path).read_text()) == {
        "action_low": [-2.0],
        "action_high": 2.0,
        "normalisation": "none",
        "examples": [{"state": [1.0, 1.0], "action": [2.0]}],
    }
    with pytest.raises(ArgumentError, match="states are missing"):
        write_card(tmp_path / "model_1.pt", lambda state: state)
    with pytest.raises(ArgumentError, match="finite numbers alone"):
        write_card(tmp_path / "model_1.pt", None, action_low=float("nan"))
    assert names(tmp_path) == ["model_1.pt.policy.json"]
