//! Programs give the actions that PyTorch computed when they were saved, and hostile ones are refused within the limits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value as Json;
use tract_onnx::prelude::*;

use crate::file::{self, Decoded};
use crate::model::Outputs;
use crate::onnx::Network;

use super::translate;

fn network(bytes: &[u8]) -> Result<Network, String> {
    let decoded = file::decode(&bytes.to_vec().into(), None).map_err(|error| format!("{error:#}"))?;
    let Decoded::Program(program) = decoded else { return Err("the file is no program".to_owned()) };
    let proto = translate(&program).map_err(|error| format!("{error:#}"))?;
    Network::new(&proto).map_err(|error| format!("{error:#}"))
}

fn run(model: TypedModel, states: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, String> {
    let run = || -> TractResult<Vec<Vec<f32>>> {
        let input = Tensor::from_shape(&[states.len(), states[0].len()], &states.concat())?;
        let outputs = model.into_optimized()?.into_runnable()?.run(tvec!(input.into()))?;
        outputs.iter().map(|output| Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())).collect()
    };
    run().map_err(|error| format!("{error:#}"))
}

/// Computes the states of a case one by one, and together if the program takes batches. Compares them with what the
/// library computed.
fn check(folder: &Path) -> Result<(), String> {
    let case: Json = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let rows = |name: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[name].clone()).ok();
    let states = rows("states").unwrap();
    let network = network(&std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap())?;
    let expected = match network.outputs {
        Outputs::Action => vec![rows("expected").unwrap()],
        Outputs::MeanAndLogStd => vec![rows("mean").unwrap(), rows("log_std").unwrap()],
    };
    for (row, state) in states.iter().enumerate() {
        let outputs = run(network.one_row(), std::slice::from_ref(state))?;
        compare(&outputs, &expected.iter().map(|rows| rows[row].clone()).collect::<Vec<_>>())?;
    }
    if let Ok(model) = network.any_rows() {
        compare(&run(model, &states)?, &expected.iter().map(|rows| rows.concat()).collect::<Vec<_>>())?;
    } else if case["one_state"] != Json::Bool(true) {
        return Err("the program is fixed to one state".to_owned());
    }
    Ok(())
}

fn compare(found: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), String> {
    let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b)));
    if same { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}")) }
}

#[test]
fn dev() {
    let Ok(root) = std::env::var("SAC_CASES") else { return };
    let mut folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    folders.sort();
    for folder in folders {
        if !folder.join("case.json").exists() { continue }
        let start = std::time::Instant::now();
        let result = std::panic::catch_unwind(|| check(&folder)).unwrap_or_else(|_| Err("PANIC".into()));
        println!("{:40} {:?} {}", folder.file_name().unwrap().to_string_lossy(), start.elapsed(), match result { Ok(()) => "ok".to_owned(), Err(e) => format!("** {}", &e[..e.len().min(400)]) });
    }
}
