"""Modules and state_dicts of PyTorch, published for a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import STATES, close, names
from models import Actor, torch

from sac_serving import Policy, RefusedError, StatusError, publish

pytestmark = pytest.mark.usefixtures("with_program")


def test_a_module_is_served_with_the_facts_that_its_state_dict_lacks(serve: Any, tmp_path: Path) -> None:
    torch.manual_seed(2)
    actor = Actor()
    facts: Any = {"activation": "tanh", "action_low": np.array([-3.0, -3.0]), "action_high": [3.0, 3.0]}
    with Policy(serve("--dir", tmp_path).url) as policy:
        for published in (actor, actor.state_dict()):
            path = publish(published, tmp_path, act=actor.act, states=STATES, **facts)
            found, info = policy.predict(STATES)
            assert info["model_path"] == str(path) and path.suffix == ".pt"
            assert close(found, actor.act(STATES))
            assert policy.info()["verified_examples"] == 8
        wrong = publish(actor, tmp_path, act=actor.act, states=STATES, check=False, **{**facts, "activation": "relu"})
        assert close(policy.predict(STATES)[0], actor.act(STATES))
        assert policy.info()["last_error"]["path"] == str(wrong)
        with pytest.raises(StatusError, match="example"):
            policy.reload()
        publish(actor, tmp_path, "model_facts.pt", **facts)
        assert close(policy.predict(STATES)[0], actor.act(STATES))
        assert "examples" not in json.loads((tmp_path / "model_facts.pt.policy.json").read_text())


def test_a_checkpoint_that_the_program_refuses_is_not_published(tmp_path: Path) -> None:
    actor = Actor()
    remedies = r"Write \{.*into FILE\.policy\.json.*arguments of publish.*check=False"
    with pytest.raises(RefusedError, match=rf"^model_1\.pt is not published.*{remedies}"):
        publish(actor.state_dict(), tmp_path, "model_1", activation="tanh")
    facts: Any = {"activation": "tanh", "action_low": -3.0, "action_high": np.float32(3.0)}
    with pytest.raises(RefusedError, match=r"model_1\.pt\.policy\.json.*`tahn` is none of"):
        publish(actor, tmp_path, "model_1", **{**facts, "activation": "tahn"})
    assert names(tmp_path) == []
    path = publish(actor.state_dict(), tmp_path, "model_1", act=actor.act, states=STATES, **facts)
    card = path.with_name("model_1.pt.policy.json")
    before = card.read_text()
    # The next one of this name is judged with the card that is there.
    publish(actor, tmp_path, "model_1")
    assert card.read_text() == before
    with pytest.raises(RefusedError, match="example"):
        publish(Actor(), tmp_path, "model_1")
    publish(Actor(), tmp_path, "model_1", check=False)


def test_a_module_of_pytorchs_own_layers_says_its_activations(serve: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    relu, linear = torch.nn.ReLU(), torch.nn.Linear
    actor = torch.nn.Sequential(linear(3, 8), relu, linear(8, 2), torch.nn.Tanh())
    with pytest.raises(RefusedError, match="the action bounds are missing"):
        publish(actor, tmp_path)
    publish(
        actor, tmp_path, act=lambda state: 2 * actor(torch.as_tensor(state)), states=STATES, action_low=-2.0, action_high=2.0
    )
    with Policy(serve("--dir", tmp_path).url) as policy:
        expected = 2 * actor(torch.as_tensor(np.asarray(STATES, dtype=np.float32))).detach().numpy()
        assert close(policy.predict(STATES)[0], expected)
