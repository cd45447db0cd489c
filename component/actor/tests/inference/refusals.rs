//! Requests that are wrong, or made to do harm. Each has an answer in words.

use serde_json::{Value, json};

use crate::{INFER, PENDULUM, Server, request, respond};

/// Returns the reason why a request with this input is refused.
fn of_input(input: Value) -> String {
    of_body(&json!({ "inputs": [input] }))
}

fn of_body(body: &Value) -> String {
    Server::of(PENDULUM).refusal(None, body.to_string().as_bytes())
}

/// The reason without the place in the JSON.
fn of_text(body: &str) -> String {
    let reason = Server::of(PENDULUM).refusal(None, body.as_bytes());
    let reason = reason.strip_prefix("the body is no inference request: ").unwrap_or(&reason);
    reason.split(" at line ").next().unwrap().to_owned()
}

fn state(shape: Value, datatype: &str, data: Value) -> Value {
    json!({ "name": "state", "shape": shape, "datatype": datatype, "data": data })
}

#[test]
fn a_shape_that_the_policy_does_not_take_is_refused() {
    for (shape, found) in [
        (json!([2]), "[2]"),
        (json!([3, 2]), "[3, 2]"),
        (json!([1, 1, 3]), "one of more dimensions"),
        (json!([]), "[]"),
        (json!([u64::MAX, u64::MAX]), "[18446744073709551615, 18446744073709551615]"),
        (json!([1, u64::MAX]), "[1, 18446744073709551615]"),
    ] {
        let reason = of_input(state(shape, "FP32", json!([0, 0, 0])));
        assert_eq!(reason, format!("the shape of `state` is [rows, 3] or [3], not {found}"));
    }
    assert_eq!(of_input(state(json!([0, 3]), "FP32", json!([]))), "the input `state` has no rows");
}

#[test]
fn sizes_are_whole_numbers() {
    for shape in ["[-1,3]", "[1.5,3]", "[18446744073709551616,3]", "[1e300,3]"] {
        let reason = of_text(&format!(r#"{{"inputs":[{{"name":"state","shape":{shape},"datatype":"FP32"}}]}}"#));
        assert_eq!(reason, "invalid type: another number, expected a whole number for shape", "{shape}");
    }
    for shape in ["[null,3]", "[true,3]", "[[1],3]", "[\"1\",3]", "3", "{}", "null"] {
        let reason = of_text(&format!(r#"{{"inputs":[{{"name":"state","shape":{shape},"datatype":"FP32"}}]}}"#));
        assert!(reason.starts_with("invalid type: "), "{shape}: {reason}");
    }
}

#[test]
fn more_rows_than_a_batch_may_have_are_refused_whatever_their_number() {
    for rows in [4097, 1 << 32, u64::MAX / 3, u64::MAX] {
        let reason = of_input(state(json!([rows, 3]), "FP32", json!([0, 0, 0])));
        assert_eq!(reason, format!("batch size over the limit: got {rows}, at most 4096"));
    }
}

#[test]
fn numbers_that_do_not_fit_the_shape_are_refused() {
    for (data, reason) in [
        (json!([1, 2, 3]), "the input `state` has 3 numbers, and its shape takes 6"),
        (json!([]), "the input `state` has 0 numbers, and its shape takes 6"),
        (json!([[1, 2, 3], [4, 5]]), "list 1 of the input `state` has 2 numbers, and its shape takes 3"),
        (json!([[], []]), "list 0 of the input `state` has 0 numbers, and its shape takes 3"),
        (json!([[1, 2, 3]]), "the input `state` has 1 lists, and its shape takes 2"),
        (json!([[1, 2, 3, 4, 5, 6]]), "list 0 of the input `state` has 6 numbers, and its shape takes 3"),
    ] {
        assert_eq!(of_input(state(json!([2, 3]), "FP32", data)), reason);
    }
}

#[test]
fn lists_of_another_depth_are_refused() {
    for data in ["[[[1,2,3]]]", "[[1,[2],3]]", "[{}]", "[null,1,2]", "[true,1,2]", "{}", "1", "[[null,1,2]]", "[\"1\"]"]
    {
        let reason =
            of_text(&format!(r#"{{"inputs":[{{"name":"state","shape":[1,3],"datatype":"FP32","data":{data}}}]}}"#));
        assert!(reason.starts_with("invalid type: "), "{data}: {reason}");
    }
    for data in ["[1,[2,3]]", "[[1,2],3]", "[[],1]", "[1,[]]"] {
        let reason =
            of_text(&format!(r#"{{"inputs":[{{"name":"state","shape":[1,3],"datatype":"FP32","data":{data}}}]}}"#));
        assert_eq!(reason, "the data mixes numbers and lists", "{data}");
    }
    let reason = of_text(r#"{"inputs":[{"name":"state","shape":[1,3],"datatype":"FP32","data":[["1",2,3]]}]}"#);
    assert_eq!(reason, "a number is expected, found a text");
}

#[test]
fn numbers_beyond_the_range_of_fp32_are_refused() {
    for number in [json!(1e39), json!(-1e300)] {
        for data in [json!([0, number, 0]), json!([[0, number, 0]])] {
            let reason = of_input(state(json!([1, 3]), "FP64", data));
            assert_eq!(reason, "the input `state` has a number that is not finite as FP32");
        }
    }
    for number in ["NaN", "Infinity", "1e999"] {
        let reason = of_text(&format!(
            r#"{{"inputs":[{{"name":"state","shape":[3],"datatype":"FP32","data":[0,{number},0]}}]}}"#
        ));
        assert!(["expected value", "number out of range"].contains(&&*reason), "{number}: {reason}");
    }
}

#[test]
fn other_datatypes_are_refused() {
    for datatype in ["FP16", "BF16", "INT64", "BYTES", "fp32", "", &"F".repeat(1 << 20)] {
        let reason = of_input(state(json!([3]), datatype, json!([0, 0, 0])));
        assert!(reason.contains("the datatype of `state` is FP32 or FP64"), "{reason}");
    }
}

#[test]
fn there_is_one_input_of_the_name_state() {
    let good = || state(json!([3]), "FP32", json!([0, 0, 0]));
    let mut other = good();
    other["name"] = json!("observation");
    let unknown = "an input is unknown: there is `state`";
    for (inputs, reason) in [
        (json!([]), "the input `state` is missing"),
        (json!([other]), unknown),
        (json!([good(), other]), "there is one input, `state`"),
        (json!([good(), good()]), "there is one input, `state`"),
    ] {
        assert_eq!(of_text(&json!({ "inputs": inputs }).to_string()), reason);
    }
}

#[test]
fn outputs_that_the_policy_does_not_have_are_refused() {
    let asking = |outputs: Value| {
        let mut body = request(&json!([[0, 0, 0]]), &json!({}));
        body["outputs"] = outputs;
        of_text(&body.to_string())
    };
    let unknown = "an output is unknown: there are `action`, `mean` and `log_std`";
    assert_eq!(asking(json!([{ "name": "value" }])), unknown);
    assert_eq!(asking(json!([{ "name": "action" }, { "name": "" }])), unknown);
    assert_eq!(asking(json!([{ "name": "mean" }, { "name": "mean" }])), "the output `mean` is asked for twice");
    for parameter in [json!({ "classification": 3 }), json!({ "shared_memory_region": "r" })] {
        let reason = asking(json!([{ "name": "action", "parameters": parameter }]));
        assert_eq!(reason, "tensors are neither classified nor in shared memory");
    }
}

#[test]
fn parameters_of_another_type_are_refused() {
    for (parameters, reason) in [
        (json!({ "deterministic": "yes" }), "invalid type: a text, expected true or false for deterministic"),
        (json!({ "deterministic": null }), "invalid type: null, expected true or false for deterministic"),
        (json!({ "seed": -1 }), "invalid type: another number, expected a whole number for seed"),
        (json!({ "seed": "7" }), "invalid type: a text, expected a whole number for seed"),
        (
            json!({ "binary_data_output": 1 }),
            "invalid type: another number, expected true or false for binary_data_output",
        ),
        (json!([true]), "invalid type: a list, expected an object for parameters"),
    ] {
        assert_eq!(of_text(&request(&json!([[0, 0, 0]]), &parameters).to_string()), reason);
    }
}

#[test]
fn a_body_that_is_no_request_is_refused() {
    for (body, reason) in [
        ("", "EOF while parsing a value"),
        ("{", "EOF while parsing an object"),
        ("null", "invalid type: null, expected an object for the body"),
        ("[[]]", "invalid type: a list, expected an object for the body"),
        ("\"inputs\"", "invalid type: a text, expected an object for the body"),
        ("{}", "missing field `inputs`"),
        (r#"{"inputs":[[]]}"#, "invalid type: a list, expected an object for inputs"),
        (r#"{"inputs":{}}"#, "invalid type: an object, expected a list for inputs"),
        (r#"{"inputs":[{"shape":[3],"datatype":"FP32"}]}"#, "missing field `name`"),
        (r#"{"inputs":[{"name":"state","datatype":"FP32"}]}"#, "missing field `shape`"),
        (r#"{"inputs":[{"name":"state","shape":[3]}]}"#, "missing field `datatype`"),
        (r#"{"inputs":[],"inputs":[]}"#, "duplicate field `inputs`"),
        (r#"{"inputs":[{"name":"state","data":[1],"data":[2]}]}"#, "duplicate field `data`"),
        (r#"{"id":1,"inputs":[]}"#, "invalid type: another number, expected a text for id"),
        (r#"{"id":"1","id":"2","inputs":[]}"#, "duplicate field `id`"),
    ] {
        assert_eq!(of_text(body), reason, "{body}");
    }
    let binary = [0xff; 64];
    assert!(Server::of(PENDULUM).refusal(None, &binary).contains("expected value"));
}

#[test]
fn an_id_is_repeated_unless_it_is_very_long() {
    let mut body = request(&json!([[0, 0, 0]]), &json!({}));
    body["id"] = json!("ü\"\\\u{0}");
    assert_eq!(Server::of(PENDULUM).infer(&body)["id"], body["id"]);
    body["id"] = json!("x".repeat(1025));
    assert!(of_body(&body).contains("the id is longer than 1024 bytes"));
}

#[test]
fn long_requests_are_refused_in_a_few_words() {
    let long = "x".repeat(1 << 20);
    for body in [
        format!(r#"{{"inputs":"{long}"}}"#),
        format!(r#"{{"inputs":[{{"name":"{long}","shape":[3],"datatype":"FP32"}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"state","shape":"{long}","datatype":"FP32"}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"state","shape":[3],"datatype":"FP32","data":"{long}"}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"state","shape":[3],"datatype":"FP32","data":["{long}"]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"state","shape":[3],"datatype":"FP32","parameters":"{long}"}}]}}"#),
        format!(r#"{{"parameters":{{"deterministic":"{long}"}}}}"#),
        format!(r#"{{"outputs":[{{"name":"{long}"}}]}}"#),
        format!(r#"{{"outputs":"{long}"}}"#),
        format!(r#"{{"id":"{long}"}}"#),
        format!(r#"{{"{long}":1}}"#),
    ] {
        assert!(Server::of(PENDULUM).refusal(None, body.as_bytes()).len() < 200);
    }
    let deep = format!(r#"{{"inputs":{}"#, "[".repeat(1 << 20));
    assert!(Server::of(PENDULUM).refusal(None, deep.as_bytes()).len() < 200);
    let deep = format!(r#"{{"x":{}"#, "[".repeat(1 << 20));
    assert!(respond(Server::of(PENDULUM).send("POST", INFER, None, deep.as_bytes())).body.len() < 200);
}
