//! Batches that take long, and those that are computed in parts.

use sac_actor::{Batch, OnRefusal, Outcome, Response};
use serde_json::{Value, json};

use crate::harness::{checkpoint, read};
use crate::{INFER, RowOutputs, Server, binary_of, header, json_of, path, respond};

/// More rows than a pass of a tenth of a millisecond has, however quick the machine is.
const ROWS: usize = 4000;

fn server(splits: bool) -> Server {
    let mut server = Server::with(OnRefusal::Keep, splits);
    server.service.load(checkpoint(), read(&path("stat_pair_03000.onnx")), None).unwrap();
    server
}

/// A body of rows of 28 numbers, of which the first part is JSON.
fn body(rows: usize, outputs: &Value, parameters: &Value) -> (String, Vec<u8>) {
    let numbers = (0..rows * 28).map(|i| (i as f32 * 0.618_034).fract() - 0.5);
    let mut parameters = parameters.clone();
    parameters["binary_data_output"] = json!(true);
    let size = json!({ "binary_data_size": rows * 112 });
    let json = json!({
        "id": "7",
        "inputs": [{ "name": "state", "shape": [rows, 28], "datatype": "FP32", "parameters": size }],
        "outputs": outputs,
        "parameters": parameters,
    });
    let json = json.to_string();
    let binary = numbers.flat_map(f32::to_le_bytes).collect::<Vec<_>>();
    (json.len().to_string(), [json.as_bytes(), &binary].concat())
}

/// Returns the status and the content of an answer. Its time, which differs, is set to 0.
fn content(response: &Response) -> (u16, Value, Vec<f32>) {
    let mut answer = json_of(response);
    answer["parameters"]["latency_ms"] = json!(0);
    (response.status, answer, binary_of(response))
}

fn in_parts(server: &mut Server, batch: &Batch, rows: usize) -> RowOutputs {
    let mut outputs = RowOutputs { mean: vec![], log_std: vec![] };
    for states in batch.states.chunks(28 * rows) {
        let part = server.service.forward(&Batch { states: states.to_vec(), log_std: batch.log_std }).unwrap();
        outputs.mean.extend(part.mean);
        outputs.log_std.extend(part.log_std);
    }
    outputs
}

#[test]
fn parts_give_the_answer_of_the_whole() {
    let all = json!([{ "name": "log_std" }, { "name": "action" }, { "name": "mean", "parameters": { "binary_data": false } }]);
    for (outputs, parameters) in [
        (json!([]), json!({})),
        (json!([]), json!({ "deterministic": false, "seed": 7 })),
        (all.clone(), json!({})),
        (all, json!({ "deterministic": false, "seed": 7 })),
    ] {
        let (header, body) = body(ROWS, &outputs, &parameters);
        let whole = content(&respond(server(false).send("POST", INFER, Some(&header), &body)));
        assert_eq!((whole.0, &whole.1["id"]), (200, &json!("7")));
        for rows in [7, 1000] {
            let mut server = server(true);
            let Outcome::Split(batch) = server.send("POST", INFER, Some(&header), &body) else { panic!("no split") };
            assert_eq!(batch.states.len(), ROWS * 28);
            let outputs = in_parts(&mut server, &batch, rows);
            assert!(content(&respond(server.service.finish(outputs))) == whole, "parts of {rows} rows");
        }
    }
}

#[test]
fn log_std_is_computed_if_it_is_sampled_with_or_asked_for() {
    for (outputs, parameters, expected) in [
        (json!([]), json!({}), false),
        (json!([{ "name": "mean" }]), json!({}), false),
        (json!([{ "name": "log_std" }]), json!({}), true),
        (json!([]), json!({ "deterministic": false }), true),
    ] {
        let (header, body) = body(ROWS, &outputs, &parameters);
        let Outcome::Split(batch) = server(true).send("POST", INFER, Some(&header), &body) else { panic!("no split") };
        assert_eq!(batch.log_std, expected, "{outputs}, {parameters}");
    }
}

#[test]
fn outputs_that_are_not_those_of_the_batch_are_an_error_of_the_protocol() {
    let mut server = server(true);
    let (length, body) = body(ROWS, &json!([{ "name": "log_std" }]), &json!({}));
    let Outcome::Split(batch) = server.send("POST", INFER, Some(&length), &body) else { panic!("no split") };
    let RowOutputs { mean, .. } = in_parts(&mut server, &batch, ROWS);
    let response = respond(server.service.finish(RowOutputs { mean, log_std: vec![] }));
    assert_eq!((response.status, header(&response, "content-type")), (500, None));
    assert!(json_of(&response)["error"].is_string());
}

#[test]
fn a_batch_that_takes_long_is_computed_where_the_call_may_block() {
    let mut server = server(false);
    server.context.may_block = false;
    let (header, large) = body(ROWS, &json!([]), &json!({}));
    assert_eq!(server.send("POST", INFER, Some(&header), &large), Outcome::Long);
    let (header, small) = body(1, &json!([]), &json!({}));
    assert_eq!(respond(server.send("POST", INFER, Some(&header), &small)).status, 200);
    let long = format!("{{{}}}", " ".repeat(1 << 20));
    assert_eq!(server.send("POST", INFER, None, long.as_bytes()), Outcome::Long);
    server.context.may_block = true;
    assert_eq!(respond(server.send("POST", INFER, None, long.as_bytes())).status, 400);
}
