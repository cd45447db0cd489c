//! The extension for binary tensors.

use serde_json::json;

use crate::{DETERMINISTIC, INFER, PENDULUM, Server, binary_of, header, json_of, respond};

/// The JSON of a request for rows of a binary tensor.
fn json(shape: &str, datatype: &str, size: &str, rest: &str) -> String {
    format!(
        r#"{{"inputs":[{{"name":"state","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]{rest}}}"#
    )
}

fn refusal(json: &str, binary: &[u8]) -> String {
    let header = json.len().to_string();
    Server::of(PENDULUM).refusal(Some(&header), &[json.as_bytes(), binary].concat())
}

#[test]
fn the_numbers_may_begin_at_any_byte() {
    let mut server = Server::of(PENDULUM);
    let numbers = [0.1f32, 0.2, 0.3].map(f32::to_le_bytes).concat();
    let mut answers = vec![];
    for spaces in 0..9 {
        let json = json("[1,3]", "FP32", "12", &" ".repeat(spaces));
        let response =
            respond(server.send("POST", INFER, Some(&json.len().to_string()), &[json.as_bytes(), &numbers].concat()));
        answers.push(json_of(&response)["outputs"].clone());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.is_array()));
}

#[test]
fn binary_outputs_follow_the_json_in_their_order() {
    let mut server = Server::of(DETERMINISTIC);
    let rest = r#","parameters":{"binary_data_output":true},"outputs":[{"name":"mean"},{"name":"action"}]"#;
    let json = json("[2,3]", "FP32", "24", rest);
    let body = [json.as_bytes(), &[0.5f32, 1.0, -1.0, 0.0, 0.25, 3.0].map(f32::to_le_bytes).concat()].concat();
    let response = respond(server.send("POST", INFER, Some(&json.len().to_string()), &body));
    let numbers = binary_of(&response);
    assert_eq!(numbers.len(), 8);
    let answer = server.infer(&json!({
        "inputs": [{"name": "state", "shape": [2, 3], "datatype": "FP32", "data": [0.5, 1.0, -1.0, 0.0, 0.25, 3.0]}],
        "outputs": [{"name": "mean"}, {"name": "action"}],
    }));
    let expected = [&answer["outputs"][0]["data"], &answer["outputs"][1]["data"]].map(crate::f32s).concat();
    assert_eq!(numbers, expected);
}

#[test]
fn an_output_may_say_otherwise_than_the_request() {
    let mut server = Server::of(PENDULUM);
    for (all, own, binary) in [(true, false, false), (false, true, true)] {
        let body = json!({
            "inputs": [{"name": "state", "shape": [3], "datatype": "FP32", "data": [0.5, 1.0, -1.0]}],
            "parameters": {"binary_data_output": all},
            "outputs": [{"name": "action", "parameters": {"binary_data": own}}],
        });
        let response = respond(server.send("POST", INFER, None, body.to_string().as_bytes()));
        assert_eq!(response.status, 200);
        assert_eq!(header(&response, "inference-header-content-length").is_some(), binary);
        assert_eq!(header(&response, "content-type").is_some(), binary);
    }
}

#[test]
fn the_header_may_count_a_body_of_json_alone() {
    let mut server = Server::of(PENDULUM);
    let body = r#"{"inputs":[{"name":"state","shape":[3],"datatype":"FP32","data":[0,0,0]}]}"#;
    assert_eq!(respond(server.send("POST", INFER, Some(&body.len().to_string()), body.as_bytes())).status, 200);
    let reason = server.refusal(Some(&body.len().to_string()), &[body.as_bytes(), b"\0"].concat());
    assert_eq!(reason, "1 bytes follow the JSON of the request, and its input takes 0");
}

#[test]
fn a_header_that_is_no_length_within_the_body_is_refused() {
    let mut server = Server::of(PENDULUM);
    let body = json("[1,3]", "FP32", "12", "");
    for header in
        ["", "-1", "+5", "1e2", " 5", "0x10", "5000", "18446744073709551615", "18446744073709551616", "\u{661}"]
    {
        let reason = server.refusal(Some(header), body.as_bytes());
        assert_eq!(reason, "Inference-Header-Content-Length is no length within the body of 98 bytes", "{header}");
    }
    for header in ["0", "1", "00000097"] {
        let reason = server.refusal(Some(header), body.as_bytes());
        assert!(reason.starts_with("the body is no inference request: "), "{reason}");
    }
}

#[test]
fn a_size_that_is_not_that_of_the_tensor_is_refused() {
    for (size, found) in [("0", "0"), ("11", "11"), ("24", "24"), ("18446744073709551615", "18446744073709551615")] {
        let reason = refusal(&json("[1,3]", "FP32", size, ""), &[0; 12]);
        let expected =
            format!("the shape and the datatype of `state` take 12 bytes, and its binary_data_size is {found}");
        assert_eq!(reason, expected);
    }
    for size in ["-12", "12.5", "true", "[12]", "\"12\"", "1e400", "18446744073709551616"] {
        let reason = refusal(&json("[1,3]", "FP32", size, ""), &[0; 12]);
        assert!(reason.starts_with("the body is no inference request: "), "{reason}");
    }
    let reason = refusal(&json("[1,3]", "FP64", "12", ""), &[0; 12]);
    assert_eq!(reason, "the shape and the datatype of `state` take 24 bytes, and its binary_data_size is 12");
}

#[test]
fn a_body_that_is_longer_or_shorter_than_its_tensor_is_refused() {
    for length in [0, 4, 11, 13, 24] {
        let reason = refusal(&json("[1,3]", "FP32", "12", ""), &vec![0; length]);
        assert_eq!(reason, format!("{length} bytes follow the JSON of the request, and its input takes 12"));
    }
}

#[test]
fn a_binary_tensor_needs_the_header() {
    let reason = Server::of(PENDULUM).refusal(None, json("[1,3]", "FP32", "12", "").as_bytes());
    assert_eq!(reason, "a binary tensor takes the header Inference-Header-Content-Length");
}

#[test]
fn an_input_has_either_data_or_a_binary_tensor() {
    let both = r#"{"inputs":[{"name":"state","shape":[3],"datatype":"FP32","parameters":{"binary_data_size":12},"data":[1,2,3]}]}"#;
    assert_eq!(refusal(both, &[0; 12]), "the input `state` has both data and a binary_data_size");
    let neither = r#"{"inputs":[{"name":"state","shape":[3],"datatype":"FP32"}]}"#;
    assert_eq!(refusal(neither, &[]), "the input `state` has neither data nor a binary_data_size");
    let elsewhere = r#"{"inputs":[{"name":"state","shape":[3],"datatype":"FP32","parameters":{"shared_memory_region":"r","shared_memory_byte_size":12}}]}"#;
    assert!(refusal(elsewhere, &[]).contains("tensors are neither classified nor in shared memory"));
}

#[test]
fn numbers_that_are_not_finite_as_fp32_are_refused() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let binary = [0.0, number, 0.0].map(f32::to_le_bytes).concat();
        let reason = refusal(&json("[1,3]", "FP32", "12", ""), &binary);
        assert_eq!(reason, "the input `state` has a number that is not finite as FP32");
    }
    for number in [f64::NAN, f64::INFINITY, 1e39, -f64::MAX] {
        let binary = [0.0, number, 0.0].map(f64::to_le_bytes).concat();
        let reason = refusal(&json("[1,3]", "FP64", "24", ""), &binary);
        assert_eq!(reason, "the input `state` has a number that is not finite as FP32");
    }
}
