//! The page of the routes, in a browser.

use std::fs;

use sac_test_support::publish;
use tempfile::tempdir;

use crate::browser::Browser;
use crate::program::*;

#[test]
fn the_documentation_shows_every_route_and_tries_it() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let origin = format!("http://{}", program.address());
    browser.open(&format!("{origin}/docs"));
    browser.wait_until("document.querySelectorAll('.opblock').length === 23");
    // The route that most come for is the first.
    assert_eq!(
        browser.run("return document.querySelector('.opblock-summary-path').innerText.replace(/[^\\w/]/g, '')"),
        "/sac/predict"
    );
    // The examples are sent as they are.
    for (operation, shown) in [("info", "model_a.onnx"), ("predict", "\"action\": ")] {
        browser.try_operation(operation, shown);
    }
    browser.assert_sound(&origin, &[]);
}

#[test]
fn the_documentation_has_the_dashboards_token_and_an_example_that_fits_the_policy() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[("SAC_API_TOKEN", "secret")]);
    let origin = format!("http://{}", program.address());
    browser.open(&origin);
    browser.wait_for_state("token needed");
    browser.run(
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('#token button').click()",
    );
    browser.wait_for_state("ok");
    browser.run("document.getElementById('docs').click()");
    browser.wait_until("document.querySelector('#operations-Policy-predict button')");
    assert_eq!(
        browser.run("return document.querySelector('meta[name=viewport]').content.includes('device-width')"),
        true
    );
    browser.try_operation("predict", "\"action\": ");
    let example = "document.querySelector('#operations-Policy-predict textarea').value";
    assert_eq!(browser.run(&format!("return JSON.parse({example}).state.length")), 3);
    browser.assert_sound(&origin, &["401 (Unauthorized)"]);
}

#[test]
fn without_a_default_policy_the_documentation_lets_one_of_the_root_be_chosen() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(place.path().join(name)).unwrap();
        publish(&place.path().join(name).join("model_1.onnx"), &file("pendulum_00500.onnx"));
    }
    let mut program = serve(place.path(), &["--root", "."], &[]);
    let address = program.address();
    browser.open(&format!("http://{address}/docs/"));
    browser.wait_until("document.querySelectorAll('main a').length === 2");
    browser.run("document.querySelectorAll('main a')[1].click()");
    browser.try_operation("info", "/b/model_1.onnx");
}
