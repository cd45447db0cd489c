//! The routes that return actions, for one state or for a batch.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::batch;
use super::call::{Call, forward, milliseconds, respond};
use super::decision::with_decision;
use super::error::{Error, Row};
use super::limits::{check, check_answer};
use super::loaded::{Loaded, Origin, Reply};
use super::openapi::{Operation, Request, schema_of};
use super::sampling::Sampling;
use super::scan::{Others, scan};
use super::schema::{Field, Kind, Schema, finite};
use super::values::{States, Whole, flag, numbers};
use crate::model::Forward;
use crate::wit::Outcome;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Predict {
    /// state_dim numbers, each finite as an f32.
    #[serde(deserialize_with = "numbers")]
    #[schemars(inner(range(min = f32::MIN, max = f32::MAX)))]
    state: Vec<f32>,
    #[serde(default = "yes", deserialize_with = "flag")]
    deterministic: bool,
    #[serde(default)]
    seed: Option<Whole>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct PredictBatch {
    #[schemars(with = "Vec<Vec<f32>>", length(min = 1), inner(inner(range(min = f32::MIN, max = f32::MAX))))]
    states: States,
    #[serde(default = "yes", deserialize_with = "flag")]
    deterministic: bool,
    #[serde(default)]
    seed: Option<Whole>,
}

/// Serde takes a default from a function only.
fn yes() -> bool {
    true
}

const DETERMINISTIC: Field = Field { name: "deterministic", kind: Kind::Boolean, required: false };
const SEED: Field = Field { name: "seed", kind: Kind::Seed, required: false };

impl Schema for Predict {
    const FIELDS: &'static [Field] = &[Field { name: "state", kind: Kind::State, required: true }, DETERMINISTIC, SEED];

    fn is_valid(&self) -> bool {
        finite(&self.state)
    }

    fn scan(body: &[u8]) -> Option<Self> {
        let mut state = vec![];
        let (_, Others { deterministic, seed }) = scan(body, "state", |scan| scan.numbers(&mut state))?;
        Some(Predict { state, deterministic: deterministic.unwrap_or_else(yes), seed: seed.flatten().map(Whole) })
    }
}

impl Schema for PredictBatch {
    const FIELDS: &'static [Field] =
        &[Field { name: "states", kind: Kind::States, required: true }, DETERMINISTIC, SEED];

    fn is_valid(&self) -> bool {
        self.states.count > 0 && finite(&self.states.numbers)
    }

    fn scan(body: &[u8]) -> Option<Self> {
        let (states, Others { deterministic, seed }) = scan(body, "states", States::scan)?;
        Some(PredictBatch { states, deterministic: deterministic.unwrap_or_else(yes), seed: seed.flatten().map(Whole) })
    }
}

/// A number for a policy whose actions have one dimension, otherwise a list.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Action<'a> {
    Number(f32),
    List(&'a [f32]),
}

#[derive(Serialize, JsonSchema)]
struct Prediction<'a> {
    action: Action<'a>,
    #[serde(flatten)]
    origin: Origin<'a>,
    latency_ms: f64,
}

#[derive(Serialize, JsonSchema)]
struct BatchPrediction<'a> {
    actions: Vec<Action<'a>>,
    batch_size: usize,
    #[serde(flatten)]
    origin: Origin<'a>,
    latency_ms: f64,
}

/// The statuses of the errors of a route that needs a model and a body.
const ERRORS: &[u16] = &[400, 413, 422, 500, 503];

pub(super) const PREDICT: Operation = Operation {
    id: "predict",
    summary: "Returns the action for a state",
    request: Some(Request {
        schema: schema_of::<Predict>,
        required: true,
        example: |state_dim| json!({ "state": vec![0; state_dim] }),
    }),
    response: schema_of::<Prediction>,
    errors: ERRORS,
};

pub(super) const PREDICT_BATCH: Operation = Operation {
    id: "predict_batch",
    summary: "Returns the actions for a batch of states",
    request: Some(Request {
        schema: schema_of::<PredictBatch>,
        required: true,
        example: |state_dim| json!({ "states": vec![vec![0; state_dim]; 2] }),
    }),
    response: schema_of::<BatchPrediction>,
    errors: ERRORS,
};

pub(super) fn predict(call: &mut Call) -> Result<Outcome, Error> {
    if call.has_long_body() {
        return Ok(Outcome::Long);
    }
    let Predict { state, deterministic, seed } = call.parse()?;
    if call.is_long(1)? {
        return Ok(Outcome::Long);
    }
    let loaded = call.model()?;
    let (got, expected) = (state.len(), loaded.actor.state_dim());
    if got != expected {
        return Err(Error::StateDim { row: Row(None), got, expected });
    }
    let sampling = call.sampling(deterministic, seed.map(u64::from))?;
    let wants_decision = call.context.wants_decision;
    let loaded = call.model()?;
    let start = Instant::now();
    let outputs = forward(&mut loaded.actor, &state, !deterministic)?;
    let actions = sampling.actions(&loaded.actor, outputs, |_| Row(None))?;
    let latency_ms = milliseconds(start);
    let prediction = Prediction { action: action(&actions), origin: Origin::from(&*loaded), latency_ms };
    let response = respond(200, &prediction)?;
    Ok(with_decision(response, wants_decision.then_some(state), sampling, Some(actions)))
}

pub(super) fn predict_batch(call: &mut Call) -> Result<Outcome, Error> {
    if call.has_long_body() {
        return Ok(Outcome::Long);
    }
    let PredictBatch { states, deterministic, seed } = call.parse()?;
    let max_batch = call.config.max_batch;
    let action_dim = call.model()?.actor.action_dim();
    check("batch size", states.count as u64, max_batch.into())?;
    check_answer(states.count, action_dim)?;
    if call.is_long(states.count)? {
        return Ok(Outcome::Long);
    }
    let expected = call.model()?.actor.state_dim();
    if let Some((row, got)) = states.other_than(expected) {
        return Err(Error::StateDim { row: Row(Some(row)), got, expected });
    }
    let sampling = call.sampling(deterministic, seed.map(u64::from))?;
    batch::run(call, states.numbers, sampling, Reply::Actions)
}

/// Answers a batch by the outputs of its rows. Returns the actions too.
pub(super) fn answer_batch(
    loaded: &Loaded,
    outputs: Forward,
    sampling: Sampling,
    start: Instant,
) -> Result<(Outcome, Option<Vec<f32>>), Error> {
    let actor = &loaded.actor;
    let actions = sampling.actions(actor, outputs, |row| Row(Some(row)))?;
    let latency_ms = milliseconds(start);
    let rows = actions.chunks(actor.action_dim()).map(action).collect::<Vec<_>>();
    let batch_size = rows.len();
    let prediction = BatchPrediction { actions: rows, batch_size, origin: Origin::from(loaded), latency_ms };
    Ok((respond(200, &prediction)?, Some(actions)))
}

fn action(numbers: &[f32]) -> Action<'_> {
    match numbers {
        [number] => Action::Number(*number),
        numbers => Action::List(numbers),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::routes::explain::Issue;
    use crate::routes::schema::parse;

    fn issues<T: Schema>(body: &str) -> Vec<(Value, &'static str)> {
        let issues = parse::<T>(body.as_bytes()).err().expect("the body is refused");
        issues.into_iter().map(|Issue { loc, r#type, .. }| (json!(loc), r#type)).collect()
    }

    #[test]
    fn a_valid_body_is_parsed() {
        let parsed = parse::<Predict>(br#"{"state": [1, -2.5], "deterministic": false, "seed": 18446744073709551615}"#);
        let Ok(Predict { state, deterministic, seed }) = parsed else { panic!("refused") };
        assert_eq!((state.as_slice(), deterministic, seed), (&[1.0, -2.5][..], false, Some(Whole(u64::MAX))));
        assert!(parse::<Predict>(br#"{"state": [], "seed": null, "unknown": 1}"#).is_ok());
    }

    #[test]
    fn all_issues_are_listed_with_their_paths() {
        let wrong = r#"{"state": [1, "2", null, 1e39, true], "deterministic": 1, "seed": -1}"#;
        assert_eq!(
            issues::<Predict>(wrong),
            [
                (json!(["body", "state", 1]), "float_type"),
                (json!(["body", "state", 2]), "float_type"),
                (json!(["body", "state", 3]), "finite_number"),
                (json!(["body", "state", 4]), "float_type"),
                (json!(["body", "deterministic"]), "bool_type"),
                (json!(["body", "seed"]), "int_type"),
            ]
        );
        assert_eq!(issues::<PredictBatch>(r#"{"states": []}"#), [(json!(["body", "states"]), "too_short")]);
        assert_eq!(
            issues::<PredictBatch>(r#"{"states": [[1], 2, [-1e39]]}"#),
            [(json!(["body", "states", 1]), "list_type"), (json!(["body", "states", 2, 0]), "finite_number")]
        );
    }

    #[test]
    fn every_refused_body_has_an_issue() {
        for (body, kind) in [
            ("", "missing"),
            ("{}", "missing"),
            ("[1]", "model_attributes_type"),
            ("[[1, 2, 3]]", "model_attributes_type"),
            (" [[1, 2, 3], true, 7]", "model_attributes_type"),
            (r#"{"state": [NaN]}"#, "json_invalid"),
            (r#"{"state": [1e999]}"#, "json_invalid"),
            (r#"{"state": [1]"#, "json_invalid"),
            (r#"{"state": [1], "state": [1]}"#, "value_error"),
            ("\u{ff}", "json_invalid"),
        ] {
            assert_eq!(issues::<Predict>(body)[0].1, kind, "{body}");
        }
    }

    #[test]
    fn issues_are_in_the_order_of_the_fields_whatever_that_of_the_body_is() {
        let (state, seed) = ((json!(["body", "state", 0]), "float_type"), (json!(["body", "seed"]), "int_type"));
        assert_eq!(issues::<Predict>(r#"{"seed": -1, "x": [{}], "state": ["x"]}"#), [state.clone(), seed.clone()]);
        // If a field occurs twice, the last one counts.
        assert_eq!(issues::<Predict>(r#"{"seed": 1, "state": 1, "seed": -1, "state": ["x"]}"#), [state, seed]);
        assert_eq!(issues::<Predict>(r#"{"seed": -1, "state": ["x"]} x"#), [(json!(["body"]), "json_invalid")]);
        let both = format!(r#"{{"seed": -1, "state": [{}]}}"#, vec!["null"; 30].join(","));
        assert!(issues::<Predict>(&both).iter().all(|(loc, _)| loc[1] == "state"));
    }

    /// Reads a body by the scan and by serde, which agree wherever the scan does not give up.
    fn scanned<T: Schema + PartialEq + std::fmt::Debug>(body: &str) -> bool {
        let Some(scanned) = T::scan(body.as_bytes()) else { return false };
        assert!(scanned.is_valid(), "{body}");
        assert_eq!(serde_json::from_str::<T>(body).ok(), Some(scanned), "{body}");
        true
    }

    #[test]
    fn usual_bodies_are_read_without_serde() {
        for body in [
            r#"{"state":[0.25,-1e-3,7]}"#,
            " {\n\t\"deterministic\" : false , \"state\" : [ 1.5 , -2 ] , \"seed\" : 18446744073709551 }\r\n",
            r#"{"seed": null, "state": [0.30000001192092896], "deterministic": true}"#,
        ] {
            assert!(scanned::<Predict>(body), "{body}");
        }
        assert!(scanned::<PredictBatch>(r#"{"states": [[1, 2], [3, 4.5]], "seed": 0}"#));
        assert!(scanned::<PredictBatch>(r#"{"states": [[1], [3, 4]]}"#));
    }

    #[test]
    fn the_scan_gives_up_on_all_that_serde_reads_otherwise_or_refuses() {
        let usual = r#"{"states": [[0.5, -2e1], [3, 4]], "deterministic": false, "seed": 12}"#;
        for index in 0..usual.len() {
            scanned::<PredictBatch>(&usual[..index]);
            for other in
                ["", " ", "0", "9", "-", ".", "e", "\"", ",", "[", "]", "{", "}", ":", "null", "\\", "é", "\u{0}"]
            {
                scanned::<PredictBatch>(&format!("{}{other}{}", &usual[..index], &usual[index..]));
                scanned::<PredictBatch>(&format!("{}{other}{}", &usual[..index], &usual[index + 1..]));
            }
        }
        for (body, other) in [
            (r#"{"state": [1], "state": [1]}"#, "a field that occurs twice"),
            (r#"{"state": []}"#, "an empty state"),
            (r#"{"state": [1], "x": 1}"#, "an unknown field"),
            (r#"{"state": [1], "seed": 2.0}"#, "a whole number as a fraction"),
            (r#"{"st\u0061te": [1]}"#, "an escape"),
            (r#"{"state": [1e39]}"#, "a number that is infinite as an f32"),
            (r#"{"seed": 1}"#, "no state"),
        ] {
            assert!(!scanned::<Predict>(body), "{other}");
        }
    }

    #[test]
    fn a_batch_that_is_wrong_everywhere_gets_a_bounded_list_of_issues() {
        let body = format!(r#"{{"states": [{}]}}"#, vec!["null"; 4096].join(","));
        assert_eq!(issues::<PredictBatch>(&body).len(), 20);
    }
}
