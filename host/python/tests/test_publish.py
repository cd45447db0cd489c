"""Models of Stable-Baselines3 and PyTorch, published for a real server."""

from __future__ import annotations

import json
import os
import re
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import WORKSPACE, examples

from sac_serving import ArgumentError, Facts, Policy, RefusedError, StatusError, check, publish, write_card
from sac_serving.publish import EXTENSIONS

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is missing: pip install stable-baselines3")
sb3 = pytest.importorskip("stable_baselines3", reason="publishing is not tested: pip install stable-baselines3")

import torch  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize  # noqa: E402

from sac_serving import PublishCallback  # noqa: E402

pytestmark = pytest.mark.usefixtures("with_program")

STATES = np.random.default_rng(1).uniform(-1, 1, (16, 3)).astype(np.float32)


def environment(normalised: bool = False) -> Any:
    env: Any = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    return VecNormalize(env) if normalised else env


def model(seed: int = 0, normalised: bool = False) -> Any:
    options: Any = {"policy_kwargs": {"net_arch": [32, 32]}, "learning_starts": 50, "device": "cpu"}
    return sb3.SAC("MlpPolicy", environment(normalised), seed=seed, **options)


def normalised(scale: float) -> Any:
    """A model of its own statistics."""
    trained = model(int(scale), normalised=True)
    statistics = trained.get_vec_normalize_env().obs_rms
    statistics.mean, statistics.var, statistics.count = np.full(3, 0.1 * scale), np.full(3, scale), 100.0
    return trained


def actions_of(trained: Any) -> Any:
    statistics = trained.get_vec_normalize_env()
    states = STATES if statistics is None else statistics.normalize_obs(STATES)
    return trained.predict(states, deterministic=True)[0]


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("algorithm", ["SAC", "TD3"])
def test_the_served_policy_is_the_trained_one_and_proven(algorithm: str, serve: Any, tmp_path: Path) -> None:
    trained = getattr(sb3, algorithm)("MlpPolicy", environment(), seed=3, device="cpu")
    path = publish(trained, tmp_path)
    assert path == tmp_path / "model_00000000.zip"
    with Policy(serve("--dir", tmp_path).url) as policy:
        found, info = policy.predict(STATES)
        assert close(found, actions_of(trained)) and info["model_path"] == str(path)
        assert policy.info()["verified_examples"] == 8
        single, _ = policy.predict(STATES[0])
        assert single.shape == actions_of(trained)[0].shape
    assert names(tmp_path) == [path.name, f"{path.name}.policy.json", f"{path.name}.sha256"]


def test_the_statistics_of_vecnormalize_go_with_the_model(serve: Any, tmp_path: Path) -> None:
    trained = normalised(4.0)
    path = publish(trained, tmp_path, "model_latest")
    with Policy(serve("--dir", tmp_path).url) as policy:
        assert close(policy.predict(STATES)[0], actions_of(trained))
        assert not close(actions_of(trained), trained.predict(STATES, deterministic=True)[0])
        info = policy.info()
        assert info["path"] == str(path) == str(tmp_path / "model_latest.zip")
        assert info["observations_normalised"] and info["verified_examples"] == 8
        # The next one of this name has no statistics: those of before are not applied to it.
        plain = model(7)
        publish(plain, tmp_path, "model_latest")
        assert close(policy.predict(STATES)[0], actions_of(plain))


def test_no_request_meets_a_mixture_of_two_checkpoints_of_one_name(serve: Any, tmp_path: Path) -> None:
    pair = [normalised(1.0), normalised(9.0)]
    expected = [actions_of(trained) for trained in pair]
    publish(pair[0], tmp_path, "model_latest", examples=0)
    with Policy(serve("--dir", tmp_path).url) as policy:
        # Without examples in the card, nothing but the order of the files keeps the statistics with their model.
        done, found = threading.Event(), []

        def ask() -> None:
            while not done.is_set():
                found.append(policy.predict(STATES)[0])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for turn in range(1, 21):
                publish(pair[turn % 2], tmp_path, "model_latest", examples=0)
                assert close(policy.predict(STATES)[0], expected[turn % 2])
        finally:
            done.set()
            asking.join()
        assert found and all(any(close(actions, right) for right in expected) for actions in found)
        assert policy.health()["status"] == "ok"


def test_each_file_that_is_renamed_leaves_the_policy_in_service_until_the_last(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [normalised(1.0), normalised(9.0)]
    publish(pair[0], tmp_path, "model_latest", examples=0, kind="sac")
    with Policy(serve("--dir", tmp_path).url) as policy:
        policy.predict(STATES)
        from sac_serving.publish import _Publication

        rename, seen = _Publication._rename, []

        def watched(files: _Publication, ending: str) -> None:
            rename(files, ending)
            seen.append((ending, policy.predict(STATES)[0], policy.health()["status"]))

        monkeypatch.setattr(_Publication, "_rename", watched)
        publish(pair[1], tmp_path, "model_latest", examples=0, kind="sac")
    assert [ending for ending, _, _ in seen] == [".sha256", ".policy.json", ".vecnormalize.pkl", ""]
    for ending, actions, status in seen:
        assert close(actions, actions_of(pair[ending == ""])), ending
        # A digest alone changes nothing: it is compared when another file makes the server read the checkpoint.
        assert status == ("ok" if ending in ("", ".sha256") else "stale"), ending


def test_a_publication_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    trained = model()
    with pytest.raises(ArgumentError, match="not JSON compliant"):
        publish(trained, tmp_path, action_low=float("nan"))
    with pytest.raises(ArgumentError, match="no name of a file"):
        publish(trained, tmp_path, "../model_1.zip")
    assert names(tmp_path) == []


def test_a_file_that_windows_does_not_replace_while_it_is_read_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package has a function of this name.
    module = import_module("sac_serving.publish")
    replace, refusals = os.replace, iter([True, True])

    def refusing(source: str, target: str) -> None:
        if next(refusals, False):
            raise PermissionError(13, "another process reads it")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    for refuses_while_read in (False, True):
        monkeypatch.setattr(module, "REFUSES_WHILE_READ", refuses_while_read)
        with module._Publication(tmp_path, "model_1.pt") as files:
            files.add("", lambda file: file.write(b"content"))
            if refuses_while_read:
                files._rename("")
            else:
                with pytest.raises(PermissionError):
                    files._rename("")
    assert (tmp_path / "model_1.pt").read_bytes() == b"content"
    assert names(tmp_path) == ["model_1.pt"]


def test_the_callback_publishes_while_the_model_learns_and_at_the_end(serve: Any, tmp_path: Path) -> None:
    trained = model(normalised=True)
    trained.learn(250, callback=PublishCallback(tmp_path, every=100))
    models = [name for name in names(tmp_path) if name.endswith(".zip")]
    assert models == ["model_00000100.zip", "model_00000200.zip", "model_00000250.zip"]
    with Policy(serve("--dir", tmp_path).url) as policy:
        found, info = policy.predict(STATES)
        assert Path(info["model_path"]).name == models[-1] and close(found, actions_of(trained))
        trained.learn(100, callback=PublishCallback(tmp_path, every=100), reset_num_timesteps=False)
        found, info = policy.predict(STATES)
        assert Path(info["model_path"]).name == "model_00000350.zip" and close(found, actions_of(trained))


def test_stable_baselines3_evaluates_a_served_policy_as_its_own(serve: Any, tmp_path: Path) -> None:
    trained = model(5)
    publish(trained, tmp_path)
    env = environment()
    with Policy(serve("--dir", tmp_path).url) as policy:
        rewards, both = [], cast(Any, (trained, policy))
        for evaluated in both:
            env.seed(11)
            rewards.append(evaluate_policy(evaluated, env, n_eval_episodes=2, warn=False)[0])
    assert rewards[0] == pytest.approx(rewards[1], rel=1e-3)


class Actor(torch.nn.Module):
    """An actor of the user's own, whose state_dict says neither the activation nor the bounds."""

    def __init__(self, activation: Any = torch.tanh, limit: float = 3.0, action_dim: int = 2) -> None:
        super().__init__()
        self.activation, self.limit = activation, limit
        self.fc1, self.fc2 = torch.nn.Linear(3, 32), torch.nn.Linear(32, 32)
        self.mean, self.log_std = torch.nn.Linear(32, action_dim), torch.nn.Linear(32, action_dim)

    def act(self, state: Any) -> Any:
        with torch.no_grad():
            hidden = self.activation(self.fc2(self.activation(self.fc1(torch.as_tensor(state)))))
            return (self.limit * torch.tanh(self.mean(hidden))).numpy()


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


def test_the_readmes_examples_publish_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    actor = Actor(torch.relu, 2.0, 1)
    names = {"model": model(), "actor": actor, "act": actor.act, "states": STATES}
    exec(examples()[1].replace("1_000_000", "200").replace("10_000", "100"), names)
    assert len(list(Path("checkpoints").glob("model_*.zip"))) == 2 and names["path"] == Path("checkpoints/model_00000200.zip")
    assert len(list(Path("checkpoints").glob("model_*.pt"))) == 2


@pytest.mark.parametrize(("algorithm", "world"), [("PPO", "Pendulum-v1"), ("DQN", "CartPole-v1")])
def test_an_algorithm_that_no_server_takes_is_refused_before_anything_is_written(
    algorithm: str, world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_serving.check.program", lambda: None)
    refused = getattr(sb3, algorithm)("MlpPolicy", world, device="cpu")
    with pytest.raises(RefusedError, match=f"a model of {algorithm} is not published.*SAC"):
        publish(refused, tmp_path / "checkpoints")
    with pytest.raises(RefusedError):
        refused.learn(1, callback=PublishCallback(tmp_path / "checkpoints", every=10_000))
    assert refused.num_timesteps == 0 and names(tmp_path) == []


def test_a_key_of_a_card_that_is_misspelt_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    misspelt: Any = {"activaton": "relu"}
    other: Any = {"zzz": 1}
    for call in (
        lambda facts: publish(Actor(), tmp_path, **facts),
        lambda facts: write_card(tmp_path / "model_1", None, **facts),
    ):
        with pytest.raises(ArgumentError, match="activaton is no key of a card: did you mean activation"):
            call(misspelt)
        with pytest.raises(ArgumentError, match=r"expected one of activation, action_low, .*outputs$"):
            call(other)
    assert names(tmp_path) == []


def test_the_keys_of_a_card_are_those_of_the_table(tmp_path: Path) -> None:
    text = (WORKSPACE / "component/actor/README.md").read_text()
    table = text[text.index("| Key | Meaning |") :].split("\n\n")[0]
    keys = [key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert keys == [*Facts.__annotations__, "examples"]


@pytest.mark.parametrize(
    ("name", "pattern", "is_found"),
    [
        ("best", "model_*", False),
        ("best", "model_*,best*", True),
        ("best", "best.zip", True),
        ("best", None, True),
        ("model_1.pkl", "model_*", False),
        ("model_1.pkl", "model_*.pkl", True),
        ("model_1.PT", "model_*", True),
        ("model_1", "rl_model_*", False),
    ],
)
def test_a_name_that_the_server_does_not_find_is_refused(
    name: str, pattern: Any, is_found: bool, serve: Any, tmp_path: Path
) -> None:
    trained = model()
    if is_found:
        path = publish(trained, tmp_path, name, pattern=pattern)
        with Policy(serve("--dir", tmp_path, "--pattern", pattern or path.name).url) as policy:
            assert policy.info()["path"] == str(path)
    else:
        with pytest.raises(ArgumentError, match="a server does not find"):
            publish(trained, tmp_path, name, pattern=pattern)
        assert names(tmp_path) == []


def test_the_extensions_of_checkpoints_are_those_of_the_server(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with Policy(serve("--dir", tmp_path).url) as policy:
        assert f"is not named model_*.{{{','.join(EXTENSIONS).replace('.', '')}}};" in policy.health()["detail"]


def test_a_checkpoint_that_the_program_refuses_is_not_published(tmp_path: Path) -> None:
    actor = Actor()
    with pytest.raises(RefusedError, match=r"^model_1\.pt is not published.*Write \{.*into FILE\.policy\.json.*check=False"):
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


def test_dictionaries_in_vecnormalize_are_refused_before_the_model_learns(tmp_path: Path) -> None:
    def dictionaries() -> Any:
        env = gymnasium.make("Pendulum-v1")
        space = gymnasium.spaces.Dict({"state": env.observation_space})
        return gymnasium.wrappers.TransformObservation(env, lambda state: {"state": state}, space)

    env = VecNormalize(DummyVecEnv([dictionaries]), norm_obs_keys=["state"])
    refused = sb3.SAC("MultiInputPolicy", env, device="cpu")
    with pytest.raises(RefusedError, match="is not published"):
        refused.learn(1, callback=PublishCallback(tmp_path, every=10_000))
    assert refused.num_timesteps == 0 and names(tmp_path) == []


def test_a_program_that_fails_is_a_warning_and_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sac-serving"
    program.write_text("#!/bin/sh\necho 'no memory' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("sac_serving.check.program", lambda: str(program))
    with pytest.warns(UserWarning, match="published without a check.*no memory"):
        path = publish(model(), tmp_path / "checkpoints")
    assert path.exists()


def test_the_program_is_the_one_of_this_environment_or_that_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    found = []
    for place in ("path", "scripts"):
        program = tmp_path / place / "sac-serving"
        program.parent.mkdir()
        program.touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        monkeypatch.setattr("sac_serving.check.sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
        found.append(check.program())
    assert found == [str(tmp_path / "path/sac-serving"), str(tmp_path / "scripts/sac-serving")]
