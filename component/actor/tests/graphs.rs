//! ONNX graphs of real trainers are served with their library's actions, or refused with the line that is missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs;

use harness::{MAY_BLOCK, NOTHING, checkpoint, request};
use sac_actor::{File, OnRefusal, Outcome, Policy, RouterConfig, Service, Sidecar, SidecarKind};
use sac_test_support::path;
use serde_json::{Value, json};

/// A case of the corpus: the model, its external data if it has any, and what the library computes.
struct Case {
    file: Vec<u8>,
    external: Option<Sidecar>,
    case: Value,
}

impl Case {
    fn read(name: &str) -> Case {
        let read = |file: &str| fs::read(path(&format!("corpus/{name}/{file}")));
        let case = serde_json::from_slice::<Value>(&read("case.json").unwrap()).unwrap();
        let file = case["file"].as_str().unwrap();
        let data = format!("{file}.data");
        let external = read(&data).ok();
        let external = external.map(|bytes| Sidecar { kind: SidecarKind::ExternalData, name: data, bytes });
        Case { file: read(file).unwrap(), external, case }
    }

    fn load(&self, card: Option<&Value>) -> Result<(Service, Policy), String> {
        let card = card.map(|card| Sidecar {
            kind: SidecarKind::Card,
            name: "c.policy.json".to_owned(),
            bytes: card.to_string().into_bytes(),
        });
        let sidecars = self.external.clone().into_iter().chain(card).collect();
        load(File { bytes: self.file.clone(), sidecars })
    }

    fn check(&self, service: &mut Service) {
        let rows = |key: &str| serde_json::from_value::<Vec<Vec<f64>>>(self.case[key].clone()).unwrap();
        for (state, expected) in rows("states").iter().zip(rows("expected")) {
            let found = predict(service, state);
            let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0));
            assert!(near && found.len() == expected.len(), "{}: {found:?}, expected {expected:?}", self.case["name"]);
        }
    }
}

fn load(file: File) -> Result<(Service, Policy), String> {
    let mut service = Service::new(RouterConfig {
        name: "policy".into(),
        optimised: true,
        operator_facts: NOTHING,
        on_refusal: OnRefusal::Keep,
        max_batch: 4096,
        max_body_bytes: 1 << 20,
        splits: true,
    });
    let policy = service.load(checkpoint(), file, None).map_err(|error| format!("{error:#}"))?;
    Ok((service, policy))
}

fn predict(service: &mut Service, state: &[f64]) -> Vec<f64> {
    let request = request("POST", "/sac/predict", json!({"state": state}).to_string());
    let Outcome::Respond(response) = service.answer(&request, &MAY_BLOCK) else { panic!("no answer") };
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(response.status, 200, "{body}");
    serde_json::from_value(body["action"].clone()).unwrap()
}

fn fact<'a>(policy: &'a Policy, name: &str) -> (&'a str, &'a str) {
    let fact = policy.facts.iter().find(|fact| fact.name == name).unwrap();
    (&fact.value, &fact.source)
}

#[test]
fn a_graph_whose_output_is_the_action_needs_no_card() {
    for (name, outputs) in [
        ("onnx_sb3docs_legacy", "31"),
        ("onnx_sb3_state_action_legacy", "action"),
        ("onnx_sb3_sde_legacy", "action"),
        ("d3rlpy_iql_policy_onnx", "output_0"),
        ("d3rlpy_sac_minmax_policy_onnx", "output_0"),
        ("d3rlpy_sac_tanh_policy_onnx", "output_0"),
        ("d3rlpy_td3_policy_onnx", "output_0"),
        ("rslrl5_export_onnx", "actions"),
        ("rslrl5_export_onnx_norm", "actions"),
    ] {
        let case = Case::read(name);
        let (mut service, policy) = case.load(None).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        case.check(&mut service);
        assert_eq!(fact(&policy, "outputs").0, outputs, "{name}");
    }
}

#[test]
fn a_graph_of_mean_and_log_std_needs_the_action_bounds() {
    for name in ["onnx_readme_legacy", "onnx_readme_default", "onnx_readme_mish"] {
        let case = Case::read(name);
        let reason = case.load(None).err().expect("the bounds are missing");
        assert!(reason.starts_with("the action bounds are missing"), "{reason}");
    }
    for name in ["onnx_readme_legacy", "onnx_readme_default"] {
        let case = Case::read(name);
        let card = json!({"action_low": case.case["low"], "action_high": case.case["high"]});
        let (mut service, policy) = case.load(Some(&card)).unwrap();
        case.check(&mut service);
        assert!(policy.stochastic);
    }
}

#[test]
fn a_model_without_its_external_data_is_refused() {
    let case = Case { external: None, ..Case::read("onnx_readme_default") };
    let reason = case.load(None).err().unwrap();
    let expected = "the weights are in external data `model_1.onnx.data`, which is not beside it: copy it, or export with \
                    external_data=False";
    assert!(reason.ends_with(expected), "{reason}");
}

#[test]
fn a_card_decides_which_outputs_are_served() {
    let case = Case::read("onnx_readme_legacy");
    let (_, policy) = case.load(Some(&json!({"outputs": ["mean"], "input": "state"}))).unwrap();
    assert!(!policy.stochastic);
    assert_eq!(fact(&policy, "outputs"), ("mean", "card"));
    assert_eq!(fact(&policy, "input"), ("state", "card"));
    let reason = case.load(Some(&json!({"outputs": ["mu"]}))).err().unwrap();
    assert_eq!(reason, "the card names the output `mu`: the graph has [\"mean\", \"log_std\"]");
}
