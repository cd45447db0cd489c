//! Checkpoints that real training libraries wrote, each with the actions that the library itself computes. None is answered
//! wrongly: it is right, or refused with its reason, as it stands and with a card of what its trainer knows.
//!
//! `SAC_CORPUS=FOLDER` tries another folder of such cases, and prints what came of each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use harness::{Actor, NOTHING};
use sac_actor::{Bounds, File, OperatorFacts, Service, Sidecar, SidecarKind};
use serde_json::{Map, Value, json};

/// The number of states that are compared.
const STATES: usize = 3;

/// The cases of `tests/data/corpus` that are right as they are, and with a card. The others lack what no file says, or do
/// what is not served.
const RIGHT: usize = 45;
const RIGHT_BY_CARD: usize = 93;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Outcome {
    Right,
    Refused(String),
    /// The action before the library scales it to its bounds.
    Unscaled,
    Wrong(String),
}

struct Case {
    name: String,
    values: Value,
    file: File,
}

impl Case {
    fn read(folder: &Path) -> Option<Case> {
        let values = serde_json::from_slice::<Value>(&fs::read(folder.join("case.json")).ok()?).unwrap();
        let file = harness::read(&folder.join(values["file"].as_str().unwrap()));
        Some(Case { name: folder.file_name()?.to_string_lossy().into_owned(), values, file })
    }

    fn outcome(&self, card: Option<Value>) -> Outcome {
        let mut sidecars = self.file.sidecars.clone();
        sidecars.extend(card.map(|card| Sidecar {
            kind: SidecarKind::Card,
            name: "FILE.policy.json".into(),
            bytes: card.to_string().into_bytes(),
        }));
        let file = File { bytes: self.file.bytes.clone(), sidecars };
        let mut actor = match Actor::load(file, NOTHING) {
            Ok(actor) => actor,
            Err(reason) => return Outcome::Refused(reason),
        };
        let mut outcome = Outcome::Right;
        for (index, state) in self.rows("states").iter().enumerate().take(STATES) {
            let expected = &self.rows("expected")[index];
            match actor.act(state) {
                Err(status) => return Outcome::Refused(format!("a prediction is answered with {status}")),
                Ok(action) if is_near(&action, expected) => {}
                Ok(action) => match self.rows("unscaled").get(index) {
                    Some(unscaled) if is_near(&action, unscaled) => outcome = Outcome::Unscaled,
                    _ => return Outcome::Wrong(format!("state {index}: {action:.4?}, expected {expected:.4?}")),
                },
            }
        }
        outcome
    }

    /// Returns the card that the one who trained it would write.
    fn card(&self) -> Value {
        let examples = self.rows("states").into_iter().zip(self.rows("expected"));
        let examples = examples.map(|(state, action)| json!({"state": state, "action": action})).collect::<Vec<_>>();
        let mut card = Map::from_iter([("examples".to_owned(), json!(examples))]);
        if let Some(activation) = self.values["activation"].as_str() {
            card.insert("activation".to_owned(), json!(activation));
        }
        if !self.values["low"].is_null() {
            card.insert("action_low".to_owned(), json!(flat(&self.values["low"])));
            card.insert("action_high".to_owned(), json!(flat(&self.values["high"])));
        }
        Value::Object(card)
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        self.values[name].as_array().map(|rows| rows.iter().map(flat).collect()).unwrap_or_default()
    }
}

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

fn is_near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found - expected).abs() <= 1e-4 * expected.abs().max(1.0))
}

fn cases() -> Vec<Case> {
    let folder = env::var_os("SAC_CORPUS").map_or_else(|| sac_test_support::path("corpus"), PathBuf::from);
    let mut folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    folders.sort();
    folders.iter().filter_map(|folder| Case::read(folder)).collect()
}

#[test]
fn no_file_of_a_real_library_is_answered_wrongly() {
    let (mut counts, mut by_card, mut wrong) = (BTreeMap::new(), 0, vec![]);
    for case in cases() {
        let outcome = case.outcome(None);
        let with_card = (outcome != Outcome::Right).then(|| case.outcome(Some(case.card())));
        if env::var_os("SAC_CORPUS").is_some() {
            println!("{:42} {outcome:.160?} | card: {with_card:.140?}", case.name);
        }
        for outcome in [Some(&outcome), with_card.as_ref()].into_iter().flatten() {
            if matches!(outcome, Outcome::Wrong(_) | Outcome::Unscaled) {
                wrong.push(format!("{}: {outcome:?}", case.name));
            }
        }
        let is_right = [Some(&outcome), with_card.as_ref()].contains(&Some(&Outcome::Right));
        by_card += usize::from(is_right);
        *counts.entry(format!("{outcome:?}").split('(').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    println!("{counts:?}; with a card {by_card} right");
    assert!(wrong.is_empty(), "{wrong:#?}");
    if env::var_os("SAC_CORPUS").is_none() {
        let right = counts.get("Right").copied().unwrap_or_default();
        assert!(right >= RIGHT && by_card >= RIGHT_BY_CARD, "{right} are right, and {by_card} with a card");
    }
}

#[test]
fn a_file_of_a_library_converts_to_an_onnx_file_with_the_same_actions() {
    let mut count = 0;
    for case in cases() {
        let mut sidecars = case.file.sidecars.clone();
        let card = Sidecar {
            kind: SidecarKind::Card,
            name: "FILE.policy.json".into(),
            bytes: case.card().to_string().into_bytes(),
        };
        // Without a card, or else with one.
        let alone = Actor::load(case.file.clone(), NOTHING);
        if alone.is_err() {
            sidecars.push(card);
        }
        let file = File { bytes: case.file.bytes.clone(), sidecars };
        let Ok(mut actor) = Actor::load(file.clone(), NOTHING) else { continue };
        let converted = Service::convert(file, &NOTHING).unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        let mut converted =
            Actor::load(harness::bare(converted), NOTHING).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let stochastic = |actor: &mut Actor| actor.info()["stochastic"].clone();
        assert_eq!(stochastic(&mut converted), stochastic(&mut actor), "{}", case.name);
        for state in case.rows("states") {
            let (found, expected) = (converted.act(&state), actor.act(&state));
            let same = matches!((&found, &expected), (Ok(found), Ok(expected)) if is_near(found, expected));
            assert!(same || found == expected, "{}: {found:?}, expected {expected:?}", case.name);
        }
        count += 1;
    }
    assert!(count >= RIGHT_BY_CARD, "{count} files were converted");
}

fn case(name: &str) -> Case {
    Case::read(&sac_test_support::path("corpus").join(name)).unwrap()
}

/// Loads a case with a card beside it.
fn with_card(case: &Case, card: &Value) -> Result<Actor, String> {
    let bytes = card.to_string().into_bytes();
    let sidecars = vec![Sidecar { kind: SidecarKind::Card, name: "FILE.policy.json".into(), bytes }];
    Actor::load(File { bytes: case.file.bytes.clone(), sidecars }, NOTHING)
}

#[test]
fn a_policy_computes_the_examples_of_its_card_or_is_refused() {
    let case = case("cleanrl_now_statedict");
    let mut card = json!({ "examples": case.card()["examples"] });
    let info = with_card(&case, &card).unwrap_or_else(|error| panic!("{error}")).info();
    assert_eq!(info["verified_examples"], 4);
    let action = &mut card["examples"][2]["action"][1];
    *action = json!(action.as_f64().unwrap() + 0.001);
    let refused = with_card(&case, &card).err().unwrap();
    assert!(refused.contains("the file does not compute the 4 examples of its card"), "{refused}");
}

#[test]
fn examples_supply_what_a_file_lacks() {
    let case = case("sb3_sac_actor_statedict");
    assert!(Actor::load(harness::bare(case.file.bytes.clone()), NOTHING).is_err());
    let info = with_card(&case, &json!({ "examples": case.card()["examples"] })).unwrap().info();
    let fact = |name: &str| {
        let facts = info["facts"].as_array().unwrap();
        facts.iter().find(|fact| fact["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!((&fact("activation")["value"], &fact("activation")["source"]), (&json!("relu"), &json!("examples")));
    assert_eq!(fact("action_bounds")["source"], "examples");
}

#[test]
fn a_card_that_contradicts_the_file_or_is_too_much_is_refused() {
    let case = case("sb3_sac_mish");
    let refused = |card: Value| with_card(&case, &card).err().unwrap_or_else(|| panic!("{card} was taken"));
    let activation = refused(json!({"activation": "relu"}));
    assert!(
        activation.contains("the activation is mish by") && activation.contains("relu by the card"),
        "{activation}"
    );
    let bounds = refused(json!({"action_low": -9, "action_high": 9}));
    assert!(bounds.contains("of the file and") && bounds.contains("they must agree"), "{bounds}");
    let example = json!({"state": [0, 0, 0], "action": [0, 0]});
    assert!(refused(json!({"examples": vec![example; 257]})).contains("at most 256 are compared"));
    let short = refused(json!({"examples": [{"state": [0, 0], "action": [0, 0]}]}));
    assert!(short.contains("states of 2 numbers: the network takes 3"), "{short}");
}

#[test]
fn a_refusal_says_what_is_assumed_of_an_actor_of_no_library() {
    let refused = case("tutorial_mu_sigma").outcome(None);
    assert!(
        matches!(&refused, Outcome::Refused(why) if why.contains("The action is then tanh of the mean")),
        "{refused:?}"
    );
}

#[test]
fn bounds_of_a_graph_that_gives_the_action_need_a_word_on_where_it_is_scaled() {
    let case = case("onnx_sb3docs_legacy");
    let bounds = json!({"action_low": -2, "action_high": 2});
    let refused = with_card(&case, &bounds).err().unwrap();
    assert!(refused.contains(r#""squash": "none""#) && refused.contains(r#""squash": "clip""#), "{refused}");
    let flag = OperatorFacts { action_bounds: Some(Bounds { low: vec![-2.0], high: vec![2.0] }), ..NOTHING };
    assert_eq!(Actor::load(harness::bare(case.file.bytes.clone()), flag).err(), Some(refused));
    let twice = with_card(&case, &json!({"squash": "tanh"})).err().unwrap();
    assert!(twice.contains("ends in a tanh or the like already"), "{twice}");
    let state = &case.rows("states")[0];
    let act = |card: Value| with_card(&case, &card).unwrap().act(state).unwrap();
    let as_it_is = act(json!({"action_low": -2, "action_high": 2, "squash": "none"}));
    let scaled = act(json!({"action_low": -2, "action_high": 2, "squash": "clip"}));
    assert!(is_near(&scaled, &as_it_is.iter().map(|x| x * 2.0).collect::<Vec<_>>()), "{scaled:?}");
    assert!(is_near(&as_it_is, &case.rows("expected")[0]));
}
