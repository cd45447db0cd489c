//! Bodies as the clients make them, byte for byte, and what they read in the answers.

use serde_json::{Value, json};

use crate::{INFER, PENDULUM, Server, binary_of, f32s, header, json_of, output, respond};

const STATES: [[f32; 3]; 2] = [[0.1, 0.2, 0.3], [-1.0, 0.5, 2.0]];

fn bytes_of(states: &[[f32; 3]]) -> Vec<u8> {
    states.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
}

/// The actions that /sac/predict/batch gives for the same states.
fn expected(server: &mut Server, parameters: &Value) -> Vec<f32> {
    let mut body = json!({ "states": STATES });
    body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    f32s(&server.post("/sac/predict/batch", &body).1["actions"])
}

/// tritonclient.http, `InferInput.set_data_from_numpy` and no outputs: the numbers go and come as binary tensors.
#[test]
fn tritonclient_sends_and_reads_binary_tensors() {
    let mut server = Server::of(PENDULUM);
    let json = br#"{"inputs":[{"name":"state","shape":[2,3],"datatype":"FP32","parameters":{"binary_data_size":24}}],"parameters":{"binary_data_output":true}}"#;
    let body = [&json[..], &bytes_of(&STATES)].concat();
    let response = respond(server.send("POST", INFER, Some("139"), &body));
    assert_eq!((response.status, header(&response, "content-type")), (200, Some("application/octet-stream")));
    let answer = json_of(&response);
    let expected_output =
        json!([{"name": "action", "shape": [2, 1], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]);
    assert_eq!(answer["outputs"], expected_output);
    assert_eq!((&answer["model_name"], &answer["model_version"]), (&json!("pendulum"), &json!("1")));
    assert_eq!(binary_of(&response), expected(&mut server, &json!({})));
}

/// tritonclient.http with `binary_data=False`, requested outputs and all the parameters that it knows itself.
#[test]
fn tritonclient_sends_json_and_asks_for_outputs_of_both_kinds() {
    let mut server = Server::of(PENDULUM);
    let body = br#"{"id":"42","inputs":[{"name":"state","shape":[2,3],"datatype":"FP32","data":[0.10000000149011612,0.20000000298023224,0.30000001192092896,-1.0,0.5,2.0]}],"outputs":[{"name":"mean","parameters":{"binary_data":false}},{"name":"action","parameters":{"binary_data":true}}],"parameters":{"sequence_id":7,"sequence_start":true,"sequence_end":false,"priority":1,"timeout":1000,"deterministic":false,"seed":7}}"#;
    let response = respond(server.send("POST", INFER, None, body));
    let answer = json_of(&response);
    assert_eq!((response.status, &answer["id"]), (200, &json!("42")), "{answer}");
    let names = answer["outputs"].as_array().unwrap().iter().map(|output| &output["name"]).collect::<Vec<_>>();
    assert_eq!(names, ["mean", "action"]);
    assert_eq!(f32s(&answer["outputs"][0]["data"]).len(), 2);
    assert_eq!(answer["outputs"][0].get("parameters"), None);
    assert_eq!(answer["outputs"][1].get("data"), None);
    assert_eq!(binary_of(&response), expected(&mut server, &json!({ "deterministic": false, "seed": 7 })));
}

/// tritonclient.http with an array of numpy's default type, float64.
#[test]
fn tritonclient_sends_binary_tensors_in_double_precision() {
    let mut server = Server::of(PENDULUM);
    let json = br#"{"inputs":[{"name":"state","shape":[1,3],"datatype":"FP64","parameters":{"binary_data_size":24}}],"outputs":[{"name":"action","parameters":{"binary_data":false}}]}"#;
    let numbers = STATES[0].map(|number| f64::from(number).to_le_bytes()).concat();
    let response = respond(server.send("POST", INFER, Some("163"), &[&json[..], &numbers].concat()));
    assert_eq!((response.status, header(&response, "content-type")), (200, None));
    assert_eq!(f32s(&output(&json_of(&response), "action")["data"]), expected(&mut server, &json!({}))[..1]);
}

/// KServe's `InferenceRESTClient.infer`, whose `InferRequest.to_rest` always writes an id and the model's name.
#[test]
fn kserve_sends_binary_tensors_and_json() {
    let mut server = Server::of(PENDULUM);
    let json = br#"{"id":"6cdd3c60-8d17-4a2f-9ff4-2a0ee44fb0ad","model_name":"pendulum","inputs":[{"name":"state","shape":[2,3],"datatype":"FP32","parameters":{"binary_data_size":24}}],"parameters":{"binary_data_output":true}}"#;
    let body = [&json[..], &bytes_of(&STATES)].concat();
    let response = respond(server.send("POST", INFER, Some(&json.len().to_string()), &body));
    assert_eq!(response.status, 200);
    assert_eq!(json_of(&response)["id"], "6cdd3c60-8d17-4a2f-9ff4-2a0ee44fb0ad");
    assert_eq!(binary_of(&response), expected(&mut server, &json!({})));

    let body = br#"{"id":"1","model_name":"pendulum","inputs":[{"name":"state","shape":[2,3],"datatype":"FP32","data":[0.1,0.2,0.3,-1.0,0.5,2.0]}]}"#;
    let response = respond(server.send("POST", INFER, None, body));
    assert_eq!(f32s(&json_of(&response)["outputs"][0]["data"]), expected(&mut server, &json!({})));
}

/// KServe writes fields without a value as null.
#[test]
fn fields_that_are_null_are_absent() {
    let mut server = Server::of(PENDULUM);
    let body = br#"{"id":null,"parameters":null,"inputs":[{"name":"state","shape":[1,3],"datatype":"FP32","parameters":null,"data":[0.1,0.2,0.3]}],"outputs":null}"#;
    let response = respond(server.send("POST", INFER, None, body));
    let answer = json_of(&response);
    assert_eq!((response.status, answer.get("id")), (200, None), "{answer}");
}

/// MLServer's `NumpyRequestCodec.encode_request` and `model_dump`, posted by `requests` as its examples do.
#[test]
fn mlserver_sends_flat_json_with_its_content_types() {
    let mut server = Server::of(PENDULUM);
    let body = br#"{"parameters": {"content_type": "np"}, "inputs": [{"name": "state", "shape": [2, 3], "datatype": "FP64", "parameters": {"content_type": "np"}, "data": [0.1, 0.2, 0.3, -1.0, 0.5, 2.0]}]}"#;
    let response = respond(server.send("POST", INFER, None, body));
    let answer = json_of(&response);
    assert_eq!(response.status, 200, "{answer}");
    assert_eq!(f32s(&answer["outputs"][0]["data"]), expected(&mut server, &json!({})));
    // Its response type takes parameters that are texts, numbers and booleans.
    let parameters = answer["parameters"].as_object().unwrap();
    assert!(parameters.values().all(|value| !value.is_object() && !value.is_array() && !value.is_null()));
}

/// `x.tolist()` of a matrix, as MLServer's examples send it.
#[test]
fn examples_send_lists_of_rows() {
    let mut server = Server::of(PENDULUM);
    let answer = server.infer(&json!({
        "inputs": [{ "name": "state", "shape": [2, 3], "datatype": "FP32", "data": STATES }]
    }));
    assert_eq!(f32s(&answer["outputs"][0]["data"]), expected(&mut server, &json!({})));
}
