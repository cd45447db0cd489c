//! The dashboard's advice where there is no policy, in a browser.

use std::fs;

use sac_test_support::publish;
use tempfile::tempdir;

use crate::browser::Browser;
use crate::program::*;

#[test]
fn without_a_policy_the_page_says_what_to_do_and_with_a_wrong_token_what_is_wrong() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    fs::write(place.path().join("best.zip"), b"").unwrap();
    let mut program = serve(place.path(), &["--dir", "."], &[("SAC_API_TOKEN", "secret")]);
    let address = program.address();
    browser.open(&format!("http://{address}"));
    browser.run("sessionStorage.setItem('token', 'another')");
    browser.wait_for_state("wrong token");
    browser.wait_until("document.getElementById('notice').innerText.includes('SAC_API_TOKEN')");
    browser.run(
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('#token button').click()",
    );
    browser.wait_for_state("no model");
    let notice = "document.getElementById('notice').innerText";
    browser.wait_until(&format!("{notice}.includes('--pattern (SAC_PATTERN) selects other names')"));
    browser.wait_until(&format!("{notice}.includes('mv ./best.zip ./model_best.zip')"));
    browser.wait_until(&format!("{notice}.includes('--pattern best.zip')"));
    // A prediction without an answer has no latency.
    assert_eq!(ask(address, "POST", "/sac/predict", "authorization: Bearer secret\r\n", STATE).0, 503);
    browser.wait_until("document.getElementById('rate').dataset.shown?.includes('errors')");
    browser.wait_until("document.getElementById('latency').dataset.shown === ''");
    browser.wait_until("document.getElementById('now').innerText.includes('none lately')");
    // A file that is no checkpoint gets no such advice.
    fs::rename(place.path().join("best.zip"), place.path().join("progress.csv")).unwrap();
    browser.wait_until(&format!("{notice}.includes('cp best_model.zip ./model_1.zip')"));
    assert_eq!(browser.run(&format!("return {notice}.includes('mv ')")), false);
    publish(&place.path().join("model_1.onnx"), &file("pendulum_00500.onnx"));
    browser.wait_for_state("ok");
}

#[test]
fn the_page_of_a_policy_without_a_checkpoint_says_how_it_gets_one() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    fs::create_dir(place.path().join("a")).unwrap();
    fs::create_dir(place.path().join("b")).unwrap();
    publish(&place.path().join("b/best_1.onnx"), &file("pendulum_00500.onnx"));
    let mut program = serve(place.path(), &["--root", ".", "--default", "b", "--pattern", "best_*"], &[]);
    let address = program.address();
    assert_eq!(ask(address, "GET", "/policies/a/sac/health", "", "").0, 503);
    let origin = format!("http://{address}");
    browser.open(&format!("{origin}/#a"));
    browser.wait_for_state("no model");
    let notice = "document.getElementById('notice').innerText";
    browser.wait_until(&format!("{notice}.includes('mkdir -p ./a && cp best_model.zip ./a/best_1.zip')"));
    browser.wait_until(&format!("{notice}.includes('publish(model, \"./a\", \"best_1.zip\", pattern=None)')"));
    browser.assert_sound(&origin, &[]);
}
