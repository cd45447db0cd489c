//! Every format and layout gives PyTorch's numbers, and a file that cannot be served is refused with its reason. PyTorch
//! wrote the files, which are in `tests/data`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::io::{Cursor, Read};
use std::path::Path;

use harness::{Actor, NOTHING, bare, list, relu_and_unit};
use sac_actor::{Activation, Backend, File, OperatorFacts, Service};
use sac_test_support::path;
use serde_json::{Value, json};
use zip::ZipArchive;

const TOLERANCE: f64 = 1e-5;
/// The first two draws of this seed are neither small nor large.
const SEED: u64 = 7;

fn json_of(name: &str) -> Value {
    serde_json::from_slice(&sac_test_support::file(name)).unwrap()
}

fn file(name: &str) -> File {
    harness::read(&path(name))
}

/// Loads a file, with the facts that most of these files lack.
fn load(file: File) -> Result<Actor, String> {
    Actor::load(file, relu_and_unit())
}

fn convert(name: &str) -> File {
    bare(Service::convert(file(name), &relu_and_unit()).unwrap_or_else(|error| panic!("{name}: {error:#}")))
}

trait Actions {
    fn actions(&mut self, states: &Value, deterministic: bool) -> Vec<Vec<f64>>;
    fn log_stds(&mut self, states: &Value) -> Vec<Vec<f64>>;
}

impl Actions for Actor {
    /// The action for each state.
    fn actions(&mut self, states: &Value, deterministic: bool) -> Vec<Vec<f64>> {
        let rows = states.as_array().unwrap().iter();
        rows.map(|state| {
            let body = json!({"state": state, "deterministic": deterministic, "seed": SEED});
            list(&self.ask("POST", "/sac/predict", &body)["action"])
        })
        .collect()
    }

    /// log_std as the actor uses it, computed back from the actions that a seed gives.
    fn log_stds(&mut self, states: &Value) -> Vec<Vec<f64>> {
        let info = self.info();
        let unsquashed = |actions: Vec<Vec<f64>>| {
            let (low, high) = (&info["action_low"], &info["action_high"]);
            actions.into_iter().map(|row| {
                let unscale = |(i, action): (usize, f64)| match (low[i].as_f64(), high[i].as_f64()) {
                    (Some(low), Some(high)) => ((action - low) / (high - low) * 2.0 - 1.0).atanh(),
                    _ => action.atanh(),
                };
                row.into_iter().enumerate().map(unscale).collect::<Vec<_>>()
            })
        };
        let (means, draws) = (self.actions(states, true), self.actions(states, false));
        let noise = noise();
        let log_std = |(i, (mean, draw)): (usize, (f64, f64))| ((draw - mean) / noise[i]).ln();
        let rows = unsquashed(means).zip(unsquashed(draws));
        rows.map(|(mean, draw)| mean.into_iter().zip(draw).enumerate().map(log_std).collect()).collect()
    }
}

/// The first two draws of [`SEED`], computed with a policy whose log_std is known.
fn noise() -> Vec<f64> {
    let mut actor = load(file("pendulum_00500.onnx")).unwrap();
    let golden = &json_of("golden.json")["pendulum_00500"];
    let (state, mean, std) = (&golden["states"][0], number(&golden["mean"][0]), number(&golden["log_std"][0]).exp());
    let body = json!({"states": [state, state], "deterministic": false, "seed": SEED});
    let draws = list(&actor.ask("POST", "/sac/predict/batch", &body)["actions"]);
    draws.iter().map(|action| (action.atanh() - mean) / std).collect()
}

fn number(value: &Value) -> f64 {
    list(value)[0]
}

fn assert_close(found: &[Vec<f64>], expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let expected = list(expected);
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.iter().zip(expected) {
            let close = (found - expected).abs() < tolerance * expected.abs().max(1.0);
            assert!(close, "{what}, states[{row}]: {found}, PyTorch says {expected}");
        }
    }
}

/// Compares log_std wherever an action shows it: one at its bound does not, and noise of e^-20 does not either.
fn assert_log_std(actor: &mut Actor, states: &Value, expected: &Value, what: &str) {
    let found = actor.log_stds(states);
    let mut seen = 0;
    for (found, expected) in found.iter().flatten().zip(expected.as_array().unwrap().iter().flat_map(list)) {
        if expected > -4.0 && found.is_finite() {
            assert!((found - expected).abs() < 0.02, "{what}: log_std {found}, PyTorch says {expected}");
            seen += 1;
        }
    }
    assert!(seen > 0, "{what}: no log_std was seen");
}

/// Each file of a trained policy, the values that PyTorch computes, and the names of its action and log_std in them.
fn trained() -> Vec<(String, Value, &'static str, &'static str)> {
    let golden = json_of("golden.json");
    let mut files = vec![];
    for (name, values) in golden.as_object().unwrap() {
        for (layout, action, log_std) in [
            ("onnx", "action_squashed", "log_std"),
            ("agent.pt", "action_scaled", "log_std"),
            ("agent_class.pt", "action_squashed", "log_std"),
            ("state_dict.pt", "action_squashed", "log_std"),
            ("cleanrl.pt", "action_scaled", "cleanrl_log_std"),
            ("spinningup.pt", "action_squashed", "log_std"),
            ("sb3.zip", "action_scaled", "log_std"),
        ] {
            let file = format!("{name}.{layout}");
            if path(&file).exists() {
                files.push((file, values.clone(), action, log_std));
            }
        }
    }
    let expected = json_of("torch/expected.json");
    for (name, values) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "refused") {
        let name = format!("torch/{name}");
        match values["same_as"].as_str() {
            Some(same) if values["scaled"] == true => {
                files.push((name, golden[same].clone(), "action_scaled", "log_std"))
            }
            Some(same) => files.push((name, golden[same].clone(), "action_squashed", "log_std")),
            None => files.push((name, values.clone(), "action", "log_std")),
        }
    }
    assert!(files.len() > 50, "{} files", files.len());
    files
}

#[test]
fn every_layout_agrees_with_pytorch() {
    for (name, values, action, log_std) in trained() {
        let mut actor = load(file(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = actor.actions(&values["states"], true);
        assert_close(&found, &values[action], TOLERANCE, &name);
        assert_log_std(&mut actor, &values["states"], &values[log_std], &name);
    }
}

#[test]
fn a_converted_file_gives_the_same_numbers() {
    for (name, values, action, log_std) in trained() {
        let converted = convert(&name);
        let mut actor = load(converted).unwrap_or_else(|error| panic!("{name}, converted: {error}"));
        assert_close(&actor.actions(&values["states"], true), &values[action], TOLERANCE, &name);
        assert_log_std(&mut actor, &values["states"], &values[log_std], &name);
        assert_eq!(actor.info()["format"], "onnx");
    }
}

#[test]
fn a_file_that_cannot_be_served_is_refused_with_its_reason() {
    for (name, reason) in [
        ("sb3_ppo.zip", "the policy of `stable_baselines3.common.policies.ActorCriticPolicy`"),
        ("unknown.pt", "any policy is served as an ONNX graph"),
        ("critic_only.pt", "the file holds no actor, only 20 tensors of critics and optimizers"),
        ("two_actors.pt", "more than one actor, under `agent_a` and `agent_b`"),
        ("wrong_dims.pt", "numbers and `net.2` takes"),
        ("head_dims.pt", "the heads must be of one shape"),
        ("wrong_config.pt", "`config.state_dim` says 4, but the network has 3"),
        ("nan.pt", "` holds NaN: finite weights are expected"),
        ("int_weights.pt", "is of I64, floating-point weights are expected"),
        ("executes.pt", "the file holds no tensors"),
        ("executes_legacy.pt", "the file holds no tensors"),
        ("executes_builtin.pt", "the file holds no tensors"),
        ("negative_stride.pt", "strides that are not a list of numbers from zero"),
        ("overlapping.pt", "overlaps itself"),
        ("absurd_shape.pt", "reaches out of its storage"),
        ("out_of_storage.pt", "reaches out of its storage"),
        ("bomb.pt", "too much for a checkpoint"),
        ("bomb.zip", "too much for a checkpoint"),
        ("bomb_pickle.pt", "too much for a checkpoint"),
        ("deep_nesting.pt", "lies deeper than 64 levels"),
        ("billion_laughs.pt", "more than 65536 values"),
        ("big_endian.pt", "big-endian"),
        ("flipped.pt", "`pendulum_00500.state_dict/data/2` of the zip archive is damaged: its CRC is another"),
        ("plain.pkl", "a pickle of a dict without any tensor"),
        ("leaky_module.pt", "`net.1.negative_slope` is [0.2]: 0.01 is expected of a LeakyReLU"),
        ("layer_norm_module.pt", "`net.1.0` is a LayerNorm without weights, which is not served"),
        ("target_encoder.pt", "no known layout"),
        ("encoder.pt", "`encoder.fc.weight` lies before the actor"),
        ("other_normaliser.pt", "`scaler_norm.mean` looks like statistics of observations"),
        ("half_bounds.pt", "only one of `config.action_low` and `config.action_high` is set"),
        ("one_storage.pt", "numbers, at most 16777216 are served"),
        ("sb3_extractor.zip", "the features extractor __main__.Scaled"),
        ("cleanrl_edited.pt", "the code of `__main__.ScaledStates` is not in the file"),
        ("wrapped_actor.pt", "the code of `__main__.Negated` is not in the file"),
        ("hooked.pt", "the code of `__main__.negate` is not in the file"),
    ] {
        let refused = load(file(&format!("torch/{name}"))).err();
        let refused = refused.unwrap_or_else(|| panic!("{name} was taken"));
        assert!(refused.contains(reason), "{name}: {refused}");
    }
    let listed = json_of("torch/expected.json")["refused"].as_object().unwrap().len();
    assert_eq!(listed, 35, "every file of tests/data/torch is in this list");
    assert!(!Path::new("/tmp/sac-serving-was-here").exists(), "a checkpoint was executed");
}

#[test]
fn a_call_in_a_checkpoint_is_not_executed_and_does_no_harm_beside_the_actor() {
    let nested = load(file("torch/executes_nested.pt")).unwrap().info();
    assert_eq!(nested["layout"], "trunk and two heads");
    assert!(!Path::new("/tmp/sac-serving-was-here").exists(), "a checkpoint was executed");
}

#[test]
fn an_actor_that_cannot_be_sampled_is_served_as_deterministic() {
    for (name, kind) in [("sb3_gsde.zip", "deterministic"), ("sb3_td3.zip", "deterministic")] {
        let mut actor =
            Actor::load(file(&format!("torch/{name}")), NOTHING).unwrap_or_else(|error| panic!("{name}: {error}"));
        let info = actor.info();
        assert_eq!((&info["stochastic"], &info["facts"][0]["value"]), (&json!(false), &json!(kind)), "{name}");
        let sampled = json!({"state": vec![0.0; info["state_dim"].as_u64().unwrap() as usize], "deterministic": false});
        assert_eq!(actor.try_ask("POST", "/sac/predict", &sampled), Err(400), "{name}");
    }
}

#[test]
fn a_file_that_lacks_facts_is_refused_with_the_line_that_supplies_them() {
    for (name, line) in [
        ("pendulum_00500.state_dict.pt", r#"{"activation": "NAME", "action_low": [LOW], "action_high": [HIGH]}"#),
        ("pendulum_00500.spinningup.pt", "or start with --activation NAME --action-bounds LOW:HIGH"),
        ("torch/td3_state_dict.pt", "the activation and the action bounds are missing"),
    ] {
        let file = bare(sac_test_support::file(name));
        let refused = Actor::load(file, NOTHING).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(refused.contains(line), "{name}: {refused}");
    }
}

/// `clip_mean` is an argument of the policy, which a state_dict does not contain: its default may not be meant.
#[test]
fn a_bare_state_dict_of_gsde_does_not_say_where_its_mean_is_clipped() {
    let mut archive = ZipArchive::new(Cursor::new(sac_test_support::file("torch/sb3_gsde.zip"))).unwrap();
    let mut state_dict = vec![];
    archive.by_name("policy.pth").unwrap().read_to_end(&mut state_dict).unwrap();
    let refused = load(bare(state_dict)).err().unwrap();
    assert!(refused.contains("the clip of the mean is missing") && refused.contains("\"examples\""), "{refused}");
}

/// A file that is cut short neither panics nor gives other numbers.
#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let converted = convert("pendulum_00500.agent.pt").bytes;
    for name in [
        "pendulum_00500.onnx",
        "converted",
        "pendulum_00500.agent.pt",
        "pendulum_00500.cleanrl.pt",
        "torch/legacy.pt",
        "torch/actor.safetensors",
        "torch/sb3_dict_arch.zip",
        "torch/torchscript.pt",
    ] {
        let whole = if name == "converted" { converted.clone() } else { file(name).bytes };
        for end in (0..whole.len()).step_by(97) {
            let cut = bare(whole[..end].to_vec());
            assert!(load(cut).is_err(), "{name} cut to {end} of {} bytes was taken", whole.len());
        }
    }
}

#[test]
fn the_info_shows_what_a_file_says() {
    let info = |name: &str| load(file(name)).unwrap().info();
    let sb3 = info("pendulum_00500.sb3.zip");
    assert_eq!((&sb3["format"], &sb3["layout"]), (&json!("stable-baselines3"), &json!("stable-baselines3")));
    assert_eq!((&sb3["action_low"], &sb3["action_high"]), (&json!([-2.0]), &json!([2.0])));
    assert_eq!(sb3["observation_high"], json!([1.0, 1.0, 8.0]));
    assert_eq!(sb3["activation"], "relu");
    let bare = info("pendulum_00500.state_dict.pt");
    assert_eq!((&bare["format"], &bare["layout"]), (&json!("torch"), &json!("trunk and two heads")));
    assert_eq!((&bare["activation"], &bare["action_low"]), (&json!("relu"), &json!(null)));
    assert_eq!(bare["observations_normalised"], false);
    assert_eq!(info("torch/normalised.pt")["observations_normalised"], true);
    assert_eq!(info("torch/sb3_vecnormalize.zip")["observations_normalised"], true);
    assert_eq!(info("torch/legacy.pt")["format"], "torch-legacy");
    assert_eq!(info("torch/torchscript.pt")["format"], "torchscript");
    assert_eq!(info("torch/actor.safetensors")["format"], "safetensors");
    assert_eq!(info("torch/spinningup_tanh_module.pt")["activation"], "tanh");
    assert_eq!(info("torch/spinningup_module.pt")["layout"], "spinningup");
    assert_eq!(info("pendulum_00500.cleanrl.pt")["layout"], "cleanrl");
    assert_eq!(info("torch/mean_linear.pt")["layout"], "pytorch-soft-actor-critic");
    assert_eq!(info("torch/heads_2x.pt")["layout"], "layers in a row");
    assert_eq!(info("pendulum_00500.onnx")["activation"], json!(null));
}

#[test]
fn an_activation_stands_in_only_where_the_file_says_none() {
    let facts = || OperatorFacts { activation: Some(Activation::Tanh), ..relu_and_unit() };
    // Without the card beside it, which outranks a flag.
    let with = |name: &str| Actor::load(bare(sac_test_support::file(name)), facts()).unwrap();
    let expected = &json_of("torch/expected.json")["tanh_config.pt"];
    let mut bare = with("pendulum_00500.state_dict.pt");
    assert_eq!(bare.info()["activation"], "tanh");
    // tanh_config.pt is the same network within ±2.
    let found = bare.actions(&expected["states"], true);
    let scaled = found.into_iter().map(|row| row.into_iter().map(|action| action * 2.0).collect()).collect::<Vec<_>>();
    assert_close(&scaled, &expected["action"], TOLERANCE, "tanh");
    assert_eq!(with("torch/elu_class.pt").info()["activation"], "elu");
}

#[test]
fn a_network_of_layers_runs_on_the_kernel_and_any_other_on_tract() {
    for (name, ..) in trained() {
        assert_eq!(load(file(&name)).unwrap().info()["plan"], "kernel", "{name}");
        let backend = load(convert(&name)).unwrap().info()["plan"].clone();
        assert_eq!(backend, "kernel", "{name}, converted");
    }
    assert_eq!(load(file("odd/action_only.onnx")).unwrap().info()["plan"], "tract");
}

#[test]
fn a_network_for_which_the_kernel_computes_other_numbers_runs_on_tract() {
    assert_eq!(load(file("odd/cancels.onnx")).unwrap().info()["plan"], "tract");
}

#[test]
fn the_kernel_is_compared_with_tract_on_demand() {
    let compare = |name: &str| Service::compare(file(name), &relu_and_unit()).unwrap();
    for (name, ..) in trained() {
        assert_eq!(compare(&name), None, "{name}");
    }
    // tract serves it already.
    assert_eq!(compare("odd/action_only.onnx"), None);
    assert_eq!(load(file("odd/cancels_on_tract.onnx")).unwrap().info()["plan"], "kernel");
    let difference = compare("odd/cancels_on_tract.onnx").unwrap();
    assert!(difference.starts_with("the kernel gives mean = [2.0], and tract gives "), "{difference}");
}

#[test]
fn a_backend_that_was_chosen_before_is_used_if_it_can_be() {
    for (name, backend, taken) in [
        ("pendulum_00500.onnx", Backend::Kernel, "kernel"),
        ("pendulum_00500.onnx", Backend::Tract, "tract"),
        ("odd/action_only.onnx", Backend::Kernel, "tract"),
    ] {
        let mut actor = Actor::load_on(file(name), relu_and_unit(), Some(backend)).unwrap();
        assert_eq!(actor.info()["plan"], taken, "{name}");
    }
}
