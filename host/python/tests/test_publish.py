"""Models of Stable-Baselines3, published for a real server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import STATES, close, examples, names
from models import (
    Actor,
    VecEnvWrapper,
    VecMonitor,
    actions_of,
    environment,
    evaluate_policy,
    gymnasium,
    model,
    normalised,
    sb3,
    torch,
)

from sac_serving import ArgumentError, Policy, PublishCallback, RefusedError, publish, write_card
from sac_serving.publication import Publication

pytestmark = pytest.mark.usefixtures("with_program")


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
        rename, seen = Publication._rename, []

        def watched(files: Publication, ending: str) -> None:
            rename(files, ending)
            seen.append((ending, policy.predict(STATES)[0], policy.health()["status"]))

        monkeypatch.setattr(Publication, "_rename", watched)
        publish(pair[1], tmp_path, "model_latest", examples=0, kind="sac")
    assert [ending for ending, _, _ in seen] == [".sha256", ".policy.json", ".vecnormalize.pkl", ""]
    for ending, actions, status in seen:
        assert close(actions, actions_of(pair[ending == ""])), ending
        # A digest alone changes nothing: it is compared when another file makes the server read the checkpoint.
        assert status == ("ok" if ending in ("", ".sha256") else "stale"), ending


def test_a_publication_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    trained = model()
    with pytest.raises(ArgumentError, match="not JSON compliant"):
        publish(trained, tmp_path / "new", action_low=float("nan"))
    assert publish(trained, tmp_path, dry_run=True) == tmp_path / "model_00000000.zip"
    assert publish(trained, tmp_path / "new/folder", dry_run=True) == tmp_path / "new/folder/model_00000000.zip"
    assert names(tmp_path) == []


def test_a_loaded_model_is_published_with_its_statistics_or_the_word_that_there_are_none(serve: Any, tmp_path: Path) -> None:
    trained = normalised(4.0)
    trained.save(tmp_path / "saved.zip")
    loaded = sb3.SAC.load(tmp_path / "saved.zip", device="cpu")
    with pytest.raises(ArgumentError, match=r"vec_normalize=VecNormalize[.]load"):
        publish(loaded, tmp_path)
    with pytest.raises(ArgumentError, match=r"vec_normalize=VecNormalize[.]load"):
        write_card(tmp_path / "model_1.zip", loaded)
    publish(loaded, tmp_path, vec_normalize=trained.get_vec_normalize_env())
    with Policy(serve("--dir", tmp_path).url) as policy:
        assert close(policy.predict(STATES)[0], actions_of(trained))


def test_a_card_of_a_model_in_vecnormalize_has_its_actions(tmp_path: Path) -> None:
    trained = normalised(4.0)
    states = [[0.1, 0.2, 0.3]]
    written = json.loads(Path(write_card(tmp_path / "model_1.zip", trained, states)).read_text())
    assert close([written["examples"][0]["action"]], actions_of(trained, states))


def test_a_model_of_an_environment_in_normalize_observation_is_refused(tmp_path: Path) -> None:
    env = gymnasium.wrappers.NormalizeObservation(gymnasium.make("Pendulum-v1"))
    trained = sb3.SAC("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, device="cpu")
    with pytest.raises(ArgumentError, match="NormalizeObservation, whose statistics no model holds"):
        publish(trained, tmp_path)
    publish(trained, tmp_path, normalisation="none")


def test_a_wrapper_around_vecnormalize_is_refused_unless_it_leaves_states_as_they_are(tmp_path: Path) -> None:
    methods = {"reset": lambda env: 3 * env.venv.reset(), "step_wait": lambda env: env.venv.step_wait()}
    scaled: Any = type("Scaled", (VecEnvWrapper,), methods)
    trained = sb3.SAC("MlpPolicy", scaled(environment(normalised=True)), device="cpu")
    with pytest.raises(ArgumentError, match="Scaled lies around VecNormalize"):
        publish(trained, tmp_path)
    with pytest.raises(ArgumentError, match="Scaled lies around VecNormalize"):
        write_card(tmp_path / "model_1.zip", trained)
    assert names(tmp_path) == []
    publish(sb3.SAC("MlpPolicy", VecMonitor(environment(normalised=True)), device="cpu"), tmp_path)
    env = environment(normalised=True)
    env.norm_obs = False
    publish(sb3.SAC("MlpPolicy", scaled(env), device="cpu"), tmp_path)


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


def test_the_readmes_examples_publish_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    actor = Actor(torch.relu, 2.0, 1)
    names = {"model": model(), "actor": actor, "act": actor.act, "states": STATES}
    exec(examples()[1].replace("1_000_000", "200").replace("10_000", "100"), names)
    files = sorted(path.name for path in Path("checkpoints").glob("model_*.zip"))
    assert files == ["model_00000100.zip", "model_00000200.zip", "model_00000200_end.zip"]
    assert names["path"] == Path("checkpoints/model_00000200.zip")
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


def test_a_part_of_a_model_is_refused_with_the_model_that_is_expected(tmp_path: Path) -> None:
    trained = model()
    for part in (trained.policy, trained.actor, trained.critic):
        for call in (lambda part: publish(part, tmp_path), lambda part: write_card(tmp_path / "model_1", part)):
            with pytest.raises(
                ArgumentError, match=f"this {type(part).__name__} is a part of a model.*: expected the model itself"
            ):
                call(part)
    assert names(tmp_path) == []
    facts: Any = {"activation": "relu", "action_low": -2.0, "action_high": 2.0}
    publish(trained.actor.state_dict(), tmp_path, act=lambda state: actions_of(trained, state), states=STATES, **facts)


def test_a_model_is_found_under_another_pattern_of_the_server(serve: Any, tmp_path: Path) -> None:
    trained, pattern = model(), "best_*.{zip,pt}"
    with pytest.raises(ArgumentError, match=r"a server does not find best_1\.zip"):
        publish(trained, tmp_path, "best_1")
    path = publish(trained, tmp_path, "best_1", pattern=pattern)
    with Policy(serve("--dir", tmp_path, "--pattern", pattern).url) as policy:
        assert policy.info()["path"] == str(path)
    assert publish(trained, tmp_path, "any.name", pattern=None).name == "any.name"
