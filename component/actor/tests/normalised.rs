//! A policy that was trained on normalised states is served with its statistics, or refused; and so is one behind a
//! features extractor. Stable-Baselines3 wrote the files, which are in `tests/data/sb3`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Actor, NOTHING, bare, list, relu_and_unit};
use sac_actor::{File, Sidecar, SidecarKind};
use serde_json::{Value, json};

fn file(name: &str) -> File {
    harness::read(&sac_test_support::path(&format!("sb3/{name}")))
}

/// A file without the statistics beside it.
fn alone(name: &str) -> File {
    bare(file(name).bytes)
}

fn with_card(file: File, card: &Value) -> File {
    let bytes = card.to_string().into_bytes();
    let card = Sidecar { kind: SidecarKind::Card, name: "FILE.policy.json".into(), bytes };
    File { sidecars: [file.sidecars, vec![card]].concat(), ..file }
}

fn load(file: File) -> Actor {
    Actor::load(file, NOTHING).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(file: File) -> String {
    Actor::load(file, NOTHING).err().unwrap_or_else(|| panic!("it was taken"))
}

/// Returns the value and the source of a fact.
fn fact(actor: &mut Actor, name: &str) -> [String; 2] {
    let info = actor.info();
    let fact = info["facts"].as_array().unwrap().iter().find(|fact| fact["name"] == name).unwrap();
    ["value", "source"].map(|part| fact[part].as_str().unwrap().to_owned())
}

fn expected(name: &str) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let all = serde_json::from_slice::<Value>(&sac_test_support::file("sb3/expected.json")).unwrap();
    let rows = |part: &str| all[name][part].as_array().unwrap().iter().map(list).collect();
    (rows("states"), rows("action"))
}

fn assert_acts(actor: &mut Actor, name: &str) {
    let (states, actions) = expected(name);
    for (state, expected) in states.iter().zip(actions) {
        let found = actor.act(state).unwrap();
        let is_near = found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-4);
        assert!(is_near, "{name}: {found:?}, Stable-Baselines3 says {expected:?}");
    }
}

#[test]
fn a_trained_model_gives_the_actions_of_its_library() {
    for name in [
        "plain.zip",
        "plain_float64.zip",
        "plain_uint8.zip",
        "linear.zip",
        "linear_sde.zip",
        "policy.pt",
        "vecnormalize_bounded.zip",
        "vecnormalize_reward.zip",
    ] {
        assert_acts(&mut load(file(name)), name);
    }
    // States are not normalised if only rewards are.
    assert_acts(&mut load(alone("vecnormalize_reward.zip")), "vecnormalize_reward.zip");
}

#[test]
fn a_model_that_was_trained_in_vecnormalize_is_refused_without_its_statistics() {
    for (name, evidence) in [
        ("vecnormalize_bounded.zip", "its last observation lies outside of the observation space"),
        ("vecnormalize_float64.zip", "its last observation is float32 in a space of float64"),
        ("vecnormalize_envs.zip", "its last observation is what the environments gave, shifted and scaled alike"),
        ("vecnormalize_dict.zip", "its last observation lies outside of the observation space"),
    ] {
        let refused = refusal(alone(name));
        for part in [
            "the normalisation of observations is missing",
            evidence,
            "FILE.vecnormalize.pkl",
            "save_vecnormalize=True",
            "--vecnormalize FILE",
            r#"{"normalisation": "none"}"#,
        ] {
            assert!(refused.contains(part), "{name}, {part}: {refused}");
        }
    }
}

#[test]
fn a_card_says_that_states_come_normalised() {
    let [card, statistics] = [json!({"normalisation": "none"}), json!({"obs_mean": [0, 0, 0], "obs_std": [1, 1, 1]})];
    let mut as_they_are = load(with_card(alone("vecnormalize_bounded.zip"), &card));
    assert_eq!(fact(&mut as_they_are, "normalisation"), ["none", "card"]);
    let mut by_card = load(with_card(alone("vecnormalize_bounded.zip"), &statistics));
    assert_eq!(as_they_are.act(&[0.5, -1.5, 0.25]), by_card.act(&[0.5, -1.5, 0.25]));
    let contradiction = refusal(with_card(file("vecnormalize_bounded.zip"), &card));
    assert!(contradiction.contains("they must agree"), "{contradiction}");
}

/// A trainer who has lost the statistics computes the examples of another policy.
#[test]
fn examples_do_not_stand_in_for_statistics_that_a_model_shows_to_lack() {
    let mut raw = load(with_card(alone("vecnormalize_bounded.zip"), &json!({"normalisation": "none"})));
    let states = [[0.5, -1.5, 0.25], [2.0, 1.0, -1.0], [-0.75, 0.0, 3.0]];
    let example = |state: &[f64; 3]| json!({"state": state, "action": raw.act(state).unwrap()});
    let examples = states.iter().map(example).collect::<Vec<_>>();
    let refused = refusal(with_card(alone("vecnormalize_bounded.zip"), &json!({ "examples": examples })));
    assert!(refused.contains("the model was trained in VecNormalize"), "{refused}");
    let both = json!({ "examples": examples, "normalisation": "none" });
    let mut said = load(with_card(alone("vecnormalize_bounded.zip"), &both));
    assert_eq!(fact(&mut said, "normalisation"), ["none", "card"]);
}

#[test]
fn one_number_of_a_card_is_that_of_every_dimension() {
    let with = |mean: Value, std: Value| {
        load(with_card(alone("plain.zip"), &json!({"obs_mean": mean, "obs_std": std}))).act(&[0.1, 0.2, 0.3])
    };
    assert_eq!(with(json!(0.5), json!(2)), with(json!([0.5, 0.5, 0.5]), json!([2, 2, 2])));
    assert_ne!(with(json!(0.5), json!(2)), with(json!(0), json!(1)));
}

#[test]
fn the_statistics_of_a_dict_are_read_by_its_keys() {
    let mut actor = load(file("vecnormalize_dict.zip"));
    assert_acts(&mut actor, "vecnormalize_dict.zip");
    assert_eq!(fact(&mut actor, "input")[0], "position, velocity, concatenated in this order");
}

#[test]
fn statistics_that_do_not_fit_the_observations_of_a_model_are_refused() {
    let some = refusal(file("vecnormalize_some_keys.zip"));
    assert!(some.contains("it does not normalise velocity of the Dict"), "{some}");
    let beside = |name: &str, statistics: &str| File { sidecars: file(statistics).sidecars, ..alone(name) };
    let flat = refusal(beside("vecnormalize_dict.zip", "vecnormalize_bounded.zip"));
    assert!(flat.contains("those of one vector, and the model takes a Dict of position, velocity"), "{flat}");
    let dict = refusal(beside("vecnormalize_bounded.zip", "vecnormalize_dict.zip"));
    assert!(dict.contains("those of a Dict, and the checkpoint does not say the order of the keys"), "{dict}");
}

/// Returns a file with the statistics of another one beside it.
fn beside(name: &str, statistics: &str) -> File {
    let bytes = sac_test_support::file(&format!("sb3/{statistics}"));
    let sidecar = Sidecar { kind: SidecarKind::Vecnormalize, name: "vecnormalize.pkl".into(), bytes };
    File { sidecars: vec![sidecar], ..alone(name) }
}

/// CheckpointCallback saved them while it trained in MountainCarContinuous-v0.
#[test]
fn statistics_are_proven_by_the_last_observation_of_the_training() {
    let mut actor = load(file("car_500_steps.zip"));
    assert_acts(&mut actor, "car_500_steps.zip");
    let [value, source] = fact(&mut actor, "normalisation");
    assert_eq!(value, "(state - mean) / std, clipped to ±10");
    assert_eq!(source, "file: `car_vecnormalize_500_steps.pkl`, as the last observation proves");
    let mut dict = load(file("vecnormalize_dict.zip"));
    assert!(fact(&mut dict, "normalisation")[1].ends_with("as the last observation proves"));
    // A policy that is saved alone holds no observation to prove them.
    let unproven = fact(&mut load(beside("policy.pt", "vecnormalize_bounded.zip.vecnormalize.pkl")), "normalisation");
    assert_eq!(unproven[1], "file: `vecnormalize.pkl`");
}

#[test]
fn statistics_of_another_moment_or_of_another_training_are_refused_until_a_card_or_examples_decide() {
    for (name, statistics) in [
        ("car_500_steps.zip", "car_vecnormalize_1000_steps.pkl"),
        ("plain.zip", "vecnormalize_bounded.zip.vecnormalize.pkl"),
    ] {
        let refused = refusal(beside(name, statistics));
        for part in [
            "the statistics in `vecnormalize.pkl` are those of another training, or of another moment of it",
            "FILE.vecnormalize.pkl",
            r#"{"normalisation": "none"}"#,
            r#"{"normalisation": "vecnormalize"}"#,
        ] {
            assert!(refused.contains(part), "{name}, {part}: {refused}");
        }
    }
    let plain = || beside("plain.zip", "vecnormalize_bounded.zip.vecnormalize.pkl");
    let mut raw = load(with_card(plain(), &json!({"normalisation": "none"})));
    assert_acts(&mut raw, "plain.zip");
    let mut normalised = load(with_card(plain(), &json!({"normalisation": "vecnormalize"})));
    assert_eq!(fact(&mut normalised, "normalisation")[1], "card");
    assert_ne!(normalised.act(&[0.3, 0.3, 0.3]), raw.act(&[0.3, 0.3, 0.3]));
    let (states, actions) = expected("plain.zip");
    let examples = states.iter().zip(actions).map(|(state, action)| json!({"state": state, "action": action}));
    let mut proven = load(with_card(plain(), &json!({"examples": examples.collect::<Vec<_>>()})));
    assert_eq!(fact(&mut proven, "normalisation"), ["none", "examples"]);
}

#[test]
fn a_card_that_names_statistics_is_refused_without_them() {
    let refused = refusal(with_card(alone("plain.zip"), &json!({"normalisation": "vecnormalize"})));
    assert!(refused.contains("no file of VecNormalize stands beside"), "{refused}");
}

/// Nothing in the file tells, so that only examples prove it.
#[test]
fn a_model_that_does_not_show_whether_its_states_were_normalised_says_that_this_is_assumed() {
    for name in ["plain.zip", "policy.pt", "vecnormalize_unseen.zip"] {
        let [value, source] = fact(&mut load(alone(name)), "normalisation");
        assert_eq!((&*value, &*source), ("none", "convention: no statistics of VecNormalize"), "{name}");
    }
}

/// The script wraps its environment in NormalizeObservation, whose statistics it does not save.
#[test]
fn a_file_of_cleanrls_ppo_is_refused_until_a_card_says_how_states_are_normalised() {
    let case = || bare(sac_test_support::file("corpus/ppo_cleanrl/m.pt"));
    let refused = refusal(case());
    for part in ["`cleanrl (PPO)`", "NormalizeObservation", "\"obs_mean\": […]", r#"{"normalisation": "none"}"#] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let given = Actor::load(case(), relu_and_unit()).err().unwrap();
    assert!(given.contains("the normalisation of observations is missing"), "no flag supplies it: {given}");
    let mut raw = load(with_card(case(), &json!({"normalisation": "none"})));
    let values = serde_json::from_slice::<Value>(&sac_test_support::file("corpus/ppo_cleanrl/case.json")).unwrap();
    let (found, expected) = (raw.act(&list(&values["states"][0])).unwrap(), list(&values["expected"][0]));
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
    let statistics = json!({"obs_mean": [1, 2, 3], "obs_std": [2, 2, 2], "clip_obs": 10});
    let mut normalised = load(with_card(case(), &statistics));
    assert_eq!(normalised.act(&[3.0, 1.0, 4.0]), raw.act(&[1.0, -0.5, 0.5]));
}

#[test]
fn images_are_refused_since_the_library_divides_them_first() {
    for name in ["image.zip", "image_policy.pt", "image_actor.pt"] {
        let refused = refusal(file(name));
        assert!(refused.contains("the policy takes images (`"), "{name}: {refused}");
    }
}

#[test]
fn a_features_extractor_without_weights_is_refused_however_the_model_is_saved() {
    for name in ["extractor.zip", "extractor_policy.pt"] {
        let refused = refusal(file(name));
        assert!(refused.contains("the features extractor __main__.Scaled"), "{name}: {refused}");
    }
    let actor = refusal(file("extractor_actor.pt"));
    assert!(actor.contains("__main__.Scaled"), "{actor}");
}

#[test]
fn a_policy_of_its_own_code_around_the_librarys_actor_is_asked_for_its_kind() {
    let refused = refusal(file("own_policy.pt"));
    assert!(refused.contains("__main__.Negated") && refused.contains("kind"), "{refused}");
}

#[test]
fn a_graph_or_a_program_beside_statistics_is_refused_until_a_card_says_whether_it_normalises() {
    let statistics = file("vecnormalize_bounded.zip").sidecars;
    for (name, outputs) in
        [("corpus/onnx_sb3docs_legacy/my_sac_actor.onnx", "31"), ("programs/activations_trace/actor.pt", "output")]
    {
        let beside = || File { bytes: sac_test_support::file(name), sidecars: statistics.clone() };
        let refused = refusal(beside());
        assert!(refused.contains("does not say whether it normalises states itself"), "{name}: {refused}");
        let mut alone = load(with_card(bare(beside().bytes), &json!({"outputs": [outputs]})));
        let mut as_it_is = load(with_card(beside(), &json!({"outputs": [outputs], "normalisation": "none"})));
        let state = vec![0.3; alone.info()["state_dim"].as_u64().unwrap() as usize];
        assert_eq!(as_it_is.act(&state), alone.act(&state), "{name}");
        assert_eq!(fact(&mut as_it_is, "normalisation"), ["the graph's own", "card"], "{name}");
        let by_statistics = with_card(beside(), &json!({"outputs": [outputs], "normalisation": "vecnormalize"}));
        if state.len() == 3 {
            let mut normalised = load(by_statistics);
            assert_ne!(normalised.act(&state), alone.act(&state), "{name}");
            assert_eq!(fact(&mut normalised, "normalisation")[0], "(state - mean) / std", "{name}");
        } else {
            let refused = refusal(by_statistics);
            assert!(
                refused.contains(".vecnormalize.pkl` beside it: `obs_mean` has 3 numbers: 4 are expected"),
                "{refused}"
            );
        }
    }
}
