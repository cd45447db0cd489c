//! "Try a state" of the dashboard, in a browser.

use sac_test_support::publish;
use serde_json::json;
use tempfile::tempdir;

use crate::browser::Browser;
use crate::program::*;

/// The file of a policy whose numbers are all 1, with the names that CleanRL gives them.
fn ones(state_dim: usize, action_dim: usize) -> Vec<u8> {
    let (mut header, mut length) = (serde_json::Map::new(), 0);
    let layers = [("fc1", state_dim, 4), ("fc2", 4, 4), ("fc_mean", 4, action_dim), ("fc_logstd", 4, action_dim)];
    let layers = layers.into_iter().flat_map(|(name, inputs, outputs)| {
        [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
    });
    let bounds = ["action_scale", "action_bias"].map(|name| (name.to_owned(), vec![1, action_dim]));
    for (name, shape) in layers.chain(bounds) {
        let end = length + 4 * shape.iter().product::<usize>();
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [length, end] }));
        length = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &1f32.to_le_bytes().repeat(length / 4)].concat()
}

#[test]
fn a_state_is_tried_by_sliders_between_the_bounds_of_observations() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    publish(&place.path().join("model_a.zip"), &file("pendulum_00500.sb3.zip"));
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    let origin = format!("http://{address}");
    browser.open(&origin);
    browser.wait_until("document.querySelectorAll('#state-fields [type=range]').length === 3");
    assert_eq!(
        browser.run("const s = document.querySelectorAll('#try [type=range]')[2]; return [s.min, s.max]"),
        json!(["-8", "8"])
    );
    let slide = "const slider = document.querySelectorAll('#try [type=range]')[2]; slider.value = 2.5; \
                 slider.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(slide);
    let (_, answer) = ask(address, "POST", "/sac/predict", "", r#"{"state": [0, 0, 2.5]}"#);
    let action = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["action"].as_f64().unwrap();
    browser.wait_until(&format!(
        "Math.abs(Number(document.querySelector('#answer b')?.textContent) - {action}) < 0.01 * Math.abs({action})"
    ));
    browser.wait_until("document.getElementById('command').textContent.includes('[0,0,2.5]')");
    browser.wait_until("document.getElementById('facts').innerText.includes('activation')");
    // A policy that is swapped in answers the same state.
    publish(&place.path().join("model_b.zip"), &file("pendulum_08000.sb3.zip"));
    browser.wait_until("document.getElementById('answered').textContent.startsWith('model_b.zip')");
    browser.assert_sound(&origin, &[]);
}

#[test]
fn a_long_state_is_a_list_and_a_wrong_one_is_explained() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    publish(&place.path().join("model_a.safetensors"), &ones(40, 2));
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    browser.open(&format!("http://{}", program.address()));
    browser.wait_until("document.querySelector('#try textarea')");
    browser.run("document.querySelector('#try button').click()");
    browser.wait_until("document.querySelectorAll('#answer b').length === 2");
    let write = |state: &str| {
        let event = "dispatchEvent(new Event('input', { bubbles: true }))";
        browser.run(&format!(
            "const list = document.querySelector('#try textarea'); list.value = '{state}'; list.{event}"
        ));
    };
    let answer = "document.getElementById('answer').innerText";
    write("1, 2, 3");
    browser.wait_until(&format!("{answer} === 'state_dim mismatch: got 3, expected 40'"));
    write("1, two");
    browser.wait_until(&format!("{answer} === 'A state is a list of numbers.'"));
}

#[test]
fn a_list_that_is_pasted_fills_the_fields_and_a_field_changes_the_list() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    publish(&place.path().join("model_a.safetensors"), &ones(4, 1));
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    browser.open(&format!("http://{}", program.address()));
    browser.wait_until("document.querySelectorAll('#state-fields input').length === 4");
    let write = |element: &str, text: &str| {
        let event = "dispatchEvent(new Event('input', { bubbles: true }))";
        browser.run(&format!("const changed = {element}; changed.value = '{text}'; changed.{event}"));
    };
    let shows = |state: &str| {
        browser.wait_until(&format!("document.getElementById('command').textContent.includes('{state}')"));
    };
    // The body of a request is a list too.
    write("document.getElementById('whole')", "{\"state\": [1, -2.5, 3e-1, 4]}");
    shows("[1,-2.5,0.3,4]");
    let fields = "[...document.querySelectorAll('#state-fields input')].map((field) => field.valueAsNumber)";
    assert_eq!(browser.run(&format!("return {fields}")), json!([1, -2.5, 0.3, 4]));
    write("document.querySelectorAll('#state-fields input')[1]", "7");
    shows("[1,7,0.3,4]");
    assert_eq!(browser.run("return document.getElementById('whole').value"), "[1, 7, 0.3, 4]");
    write("document.getElementById('whole')", "[1, 2]");
    browser.wait_until("document.getElementById('answer').innerText === 'state_dim mismatch: got 2, expected 4'");
}
