//! The choice among checkpoints on the dashboard, in a browser.

use sac_test_support::publish;

use crate::browser::Browser;
use crate::program::*;

#[test]
fn a_checkpoint_that_is_refused_is_not_offered_for_a_rollback() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    publish(&place.path().join("model_b.onnx"), b"broken");
    let mut program = serve(place.path(), &["--dir", ".", "--allow-rollback"], &[]);
    browser.open(&format!("http://{}", program.address()));
    browser.wait_for_state("stale since");
    browser.wait_until("document.getElementById('candidates').innerText.includes('refused: the file is text')");
    let buttons = "return [...document.querySelectorAll('#candidates button')].map((button) => button.ariaLabel)";
    assert_eq!(browser.run(buttons), serde_json::json!(["Pin model_a.onnx"]));
}

#[test]
fn a_click_pins_a_checkpoint_after_a_question_that_names_it() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    publish(&place.path().join("model_b.onnx"), &file("pendulum_08000.onnx"));
    let mut program = serve(place.path(), &["--dir", ".", "--allow-rollback"], &[("SAC_API_TOKEN", "secret")]);
    let address = program.address();
    let origin = format!("http://{address}");
    browser.open(&origin);
    browser.run("sessionStorage.setItem('token', 'secret')");
    browser.wait_for_state("ok · model_b.onnx");
    let button = "document.querySelector('[aria-label=\"Pin model_a.onnx\"]')";
    browser.wait_until(&format!("{button}?.click() ?? document.getElementById('confirm').open"));
    assert_eq!(browser.run("return document.getElementById('confirm-title').innerText"), "Pin: model_a.onnx");
    // Nothing happens before the answer, and nothing by another one.
    browser.run("document.querySelector('#confirm button:not([type])').click()");
    let authorization = "authorization: Bearer secret\r\n";
    let predict = || ask(address, "POST", "/sac/predict", authorization, STATE).1;
    assert!(predict().contains("model_b.onnx"));
    browser.run(&format!("{button}.click(); document.getElementById('confirm-act').click()"));
    browser.wait_for_state("pinned · model_a.onnx");
    publish(&place.path().join("model_c.onnx"), &file("pendulum_08000.onnx"));
    assert!(predict().contains("model_a.onnx"));
    browser.wait_until("document.querySelector('#candidates tr')?.innerText.includes('in service, pinned')");
    browser.wait_until("document.querySelector('[aria-label=\"Unpin model_a.onnx\"]')");
    // It is newer than the one that is pinned, so this is no rollback.
    let newer = "document.querySelector('[aria-label=\"Put into service model_c.onnx\"]')";
    browser.wait_until(newer);
    browser.run(&format!("{newer}.click()"));
    let text = browser.run("return document.getElementById('confirm-text').innerText");
    assert!(text.as_str().unwrap().ends_with("model_a.onnx is pinned no longer."), "{text}");
    browser.run("document.getElementById('confirm-act').click()");
    browser.wait_for_state("ok · model_c.onnx");
    browser.assert_sound(&origin, &["401 (Unauthorized)"]);
}
