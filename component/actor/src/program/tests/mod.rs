//! Programs give the actions that PyTorch computed when they were saved, or are refused by what is not served.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;

use std::io::{Cursor, Write};
use std::path::Path;

use serde_json::Value as Json;
use tract_onnx::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::file::{self, Decoded};
use crate::model::Outputs;
use crate::onnx::{self, Names, Network};

use super::translate;

fn network(bytes: &[u8]) -> Result<Network, String> {
    let decoded = file::decode(&bytes.to_vec().into()).map_err(|error| format!("{error:#}"))?;
    let Decoded::Program(program) = decoded else { return Err("the file is no program".to_owned()) };
    let proto = translate(&program).map_err(|error| format!("{error:#}"))?;
    // The cases prove that an only output is the action.
    let names = Names { has_examples: true, ..Names::default() };
    let (proto, interface) = onnx::select(proto, &names).map_err(|error| format!("{error:#}"))?;
    Network::new(&proto, interface).map_err(|error| format!("{error:#}"))
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
    let expected = match network.interface.kind {
        Outputs::Action => vec![rows("expected").unwrap()],
        Outputs::MeanAndLogStd => vec![rows("mean").unwrap(), rows("log_std").unwrap()],
    };
    for (row, state) in states.iter().enumerate() {
        let outputs = run(network.base(), std::slice::from_ref(state))?;
        compare(&outputs, &expected.iter().map(|rows| rows[row].clone()).collect::<Vec<_>>())?;
    }
    // In service every program runs row by row. A batch is for those who convert it.
    let together = network.with_rows(states.len()).map_err(|error| format!("{error:#}"));
    match together.and_then(|model| run(model, &states)) {
        Ok(outputs) => compare(&outputs, &expected.iter().map(|rows| rows.concat()).collect::<Vec<_>>()),
        Err(_) if case["one_state"] == Json::Bool(true) => Ok(()),
        Err(error) => Err(format!("one state only: {error}")),
    }
}

fn compare(found: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), String> {
    let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b)));
    if same { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}")) }
}

/// Checks the programs among the cases of a folder of `tests/data`. Returns how many there are.
fn check_all(folder: &str) -> usize {
    let folders = std::fs::read_dir(sac_test_support::path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|folder| is_program(folder));
    folders.map(|folder| check(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))).count()
}

fn is_program(folder: &Path) -> bool {
    let Ok(case) = std::fs::read(folder.join("case.json")) else { return false };
    let case: Json = serde_json::from_slice(&case).unwrap();
    let bytes = std::fs::read(folder.join(case["file"].as_str().unwrap()));
    bytes.is_ok_and(|bytes| matches!(file::decode(&bytes.into()), Ok(Decoded::Program(_))))
}

#[test]
fn a_program_of_a_library_computes_what_the_library_does() {
    let count = check_all("corpus");
    assert!(count >= 9, "{count} programs");
}

/// `make_programs.py` wrote them.
#[test]
fn every_operator_computes_what_pytorch_does() {
    assert_eq!(check_all("programs"), 14);
}

/// An archive of `torch.jit.save` with this source, whose module is a `__torch__.M` without attributes.
fn script(source: &str) -> Vec<u8> {
    archive(&[
        ("a/data.pkl", b"\x80\x02c__torch__\nM\n)\x81}(X\x08\0\0\0training\x89ub."),
        ("a/code/__torch__.py", source.as_bytes()),
    ])
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The source of a module whose `forward` has this body.
fn forward(body: &str) -> String {
    let body = body.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!("class M(Module):\n  training : bool\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n{body}")
}

/// The reason for which a body of `forward` is refused.
fn refusal(body: &str) -> String {
    network(&script(&forward(body))).err().expect("the program is refused")
}

/// Fixes state_dim to three.
const THREE: &str = "w = torch.ones([2, 3])\n";

#[test]
fn a_program_is_refused_by_the_operator_that_is_not_served() {
    for (body, reason) in [
        (
            "return torch.normal(x, torch.exp(x))",
            "the program calls `torch.normal`, which is random: export the policy's deterministic action",
        ),
        ("return torch.softplus(x, 1, 3)", "the program calls `torch.softplus`: its threshold is less than 15"),
        (
            "return torch.max(x, 1, True)[0]",
            "the program calls `torch.max`, which is not served: export the policy to ONNX",
        ),
        ("return torch.relu(x, 2)", "the program calls `torch.relu`: its argument 2 is not served"),
        ("return torch.tanh(x, scale=2)", "the program calls `torch.tanh`: its argument `scale` is not served"),
        ("return torch.fft(x)", "the program calls `torch.fft`, which is not served: export the policy to ONNX"),
        (
            "return torch.gru(x, 1)",
            "the program calls `torch.gru`: the policy is recurrent, and each request is answered by itself",
        ),
        ("return ops.prim.Mystery(x)", "the program calls `ops.prim.Mystery`, which is not served"),
        ("return ops.torchvision.nms(x)", "the program calls `torch.torchvision.nms`, which is not served"),
        ("return torch.dropout(x, 0.5, True)", "it is in training mode: call eval() before the export"),
        ("return torch.tanh(x)", "the program does not say how many numbers a state has"),
        ("return {}", "the program makes a dict"),
        ("return x, torch.exp(x)", "the program does not say"),
        ("return 1", "the program returns an int as its output: a tensor is expected"),
        ("return torch.to(x, 5)", "it computes in numbers of another type than float32"),
        ("self.n = 1\nreturn x", "the program's forward changes an attribute"),
        ("ops.prim.RaiseException(\"no\")\nreturn x", "the program raises an exception for every state"),
        ("if torch.gt(torch.select(x, 1, 0), 0):\n  y = x\nelse:\n  y = x\nreturn y", "depends on the state"),
        ("if torch.eq(torch.size(x, 0), 1):\n  y = x\nelse:\n  y = x\nreturn y", "depends on the number of states"),
        ("return torch.sum(x, [0])", "it sums over the states of a batch"),
        ("return torch.select(x, 0, 0)", "it takes one of a batch of states, or one number of a state"),
    ] {
        let found = refusal(body);
        assert!(found.contains(reason), "{body}: {found}");
    }
    let pair = |second: &str| refusal(&format!("{THREE}y = torch.linear(x, w)\nreturn (y, {second})"));
    assert!(pair("torch.exp(y)").contains("as a standard deviation is: return log_std"));
    assert!(pair("torch.sum(y, [1], True)").contains("a pair of 2 and 1 numbers"));
    let squashed = refusal(&format!("{THREE}y = torch.linear(x, w)\nreturn (torch.mul(torch.tanh(y), 2.), y)"));
    assert!(squashed.contains("first part is the result of tanh already"), "{squashed}");
}

#[test]
fn an_only_output_without_bounds_is_no_action_for_certain() {
    let source = forward(&format!("{THREE}return torch.linear(x, w)"));
    let outputs = |source: &str| {
        let bytes = script(source).into();
        let Decoded::Program(program) = file::decode(&bytes).unwrap() else { panic!("the file is no program") };
        onnx::select(translate(&program).unwrap(), &Names::default()).map(drop)
    };
    let refused = outputs(&source).unwrap_err().to_string();
    assert!(refused.contains("it may be the action or a mean before squashing"), "{refused}");
}

#[test]
fn a_random_number_that_the_action_does_not_depend_on_does_no_harm() {
    let body = format!("{THREE}noise = torch.randn_like(x)\ny = torch.add(x, noise)\nreturn torch.linear(x, w)");
    assert_eq!(run(network(&script(&forward(&body))).unwrap().base(), &[vec![1.0, 2.0, 3.0]]).unwrap(), [[6.0, 6.0]]);
}

#[test]
fn an_operator_in_place_changes_the_tensor_for_all_who_read_it() {
    let body = format!(
        "{THREE}y = torch.linear(x, w)\nz = torch.detach(y)\n_0 = torch.relu_(y)\nreturn torch.add(z, torch.mul_(y, 2.))"
    );
    let network = network(&script(&forward(&body))).unwrap();
    assert_eq!(run(network.base(), &[vec![-1.0, 0.0, 0.0]]).unwrap(), [[0.0, 0.0]]);
    assert_eq!(run(network.base(), &[vec![1.0, 0.0, 0.0]]).unwrap(), [[4.0, 4.0]]);
    let viewed = format!("{THREE}y = torch.linear(x, w)\nz = torch.slice(y, 1, 0, 1)\n_0 = torch.relu_(y)\nreturn z");
    assert!(refusal(&viewed).contains("changes a tensor in place and reads another view of it"));
    let unknown = format!("{THREE}y = torch.linear(x, w)\n_0 = torch.normal_(y)\nreturn y");
    assert!(refusal(&unknown).contains("`torch.normal_`, which is random"), "{}", refusal(&unknown));
}
