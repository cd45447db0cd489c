//! The pages by the rules of axe-core, in each of their states, on a phone and on a desk, light and dark.

use std::fs;

use serde_json::Value;

use crate::browser::Browser;
use crate::program::*;

/// The source of axe-core.
fn axe() -> Option<String> {
    let path = std::env::var_os("SAC_TEST_AXE");
    let source = path.as_ref().and_then(|path| fs::read_to_string(path).ok());
    if source.is_none() {
        assert!(path.is_none() && std::env::var_os("CI").is_none(), "SAC_TEST_AXE names no file");
        eprintln!("NOT TESTED: SAC_TEST_AXE does not name the file axe.min.js of the npm package axe-core");
    }
    source
}

/// Checks that no rule is violated and that nothing is wider than the screen.
fn assert_accessible(browser: &Browser, axe: &str, state: &str) {
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        browser.show_as(width, scheme);
        let run = "axe.run().then(({ violations }) => done(violations.flatMap(({ id, nodes }) => nodes.map((node) => \
                   `${id}: ${node.html} ${node.failureSummary}`))), (error) => done([String(error)]))";
        let found = browser.run_to_end(&format!("const done = arguments[arguments.length - 1]; {axe}; {run}"));
        assert_eq!(found, Value::Array(vec![]), "{state}, {width}, {scheme}");
        let overflow =
            browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(overflow, 0, "{state}, {width}, {scheme}");
    }
}

#[test]
fn axe_finds_no_violation_on_the_dashboard() {
    let Some(axe) = axe() else { return };
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", ".", "--shadow-share", "1"], &[("SAC_API_TOKEN", "secret")]);
    browser.open(&format!("http://{}", program.address()));
    browser.wait_for_state("token needed");
    assert_accessible(&browser, &axe, "token needed");
    browser.run(
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('#token button').click()",
    );
    browser.wait_for_state("ok");
    browser.run("document.querySelector('#try button').click()");
    browser.wait_until("document.querySelector('#answer b') && document.getElementById('latency').dataset.shown");
    assert_accessible(&browser, &axe, "ok");
    fs::write(place.path().join("model_with_a_long_name_step_000123456.onnx"), b"broken").unwrap();
    browser.wait_for_state("stale since");
    assert_accessible(&browser, &axe, "stale");
    drop(program);
    browser.wait_for_state("not reached");
    assert_accessible(&browser, &axe, "gone");
    let empty = tempfile::tempdir().unwrap();
    let mut program = serve(empty.path(), &["--dir", "."], &[]);
    browser.open(&format!("http://{}", program.address()));
    browser.wait_for_state("no model");
    assert_accessible(&browser, &axe, "no model");
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "a-policy-with-a-long-name"] {
        fs::create_dir_all(root.path().join(name).join("shadow")).unwrap();
        fs::write(root.path().join(name).join("model_1.onnx"), file("pendulum_00500.onnx")).unwrap();
    }
    fs::create_dir(root.path().join("broken")).unwrap();
    fs::write(root.path().join("broken/model_1.onnx"), b"broken").unwrap();
    let mut program = serve(root.path(), &["--root", ".", "--shadow-share", "1", "--allow-rollback"], &[]);
    let address = program.address();
    assert_eq!(ask(address, "POST", "/policies/a/sac/predict", "", STATE).0, 200);
    assert_eq!(ask(address, "POST", "/policies/broken/sac/predict", "", STATE).0, 500);
    browser.open(&format!("http://{address}/"));
    browser.wait_for_state("1 refused");
    assert_accessible(&browser, &axe, "trouble");
    browser.open(&format!("http://{address}/#a"));
    browser.wait_until("document.querySelector('#candidates button')");
    assert_accessible(&browser, &axe, "a root");
    browser.run("document.querySelector('#candidates button').click()");
    browser.wait_until("document.getElementById('confirm').open");
    assert_accessible(&browser, &axe, "a question");
    browser.open(&format!("http://{address}/#a-policy-with-a-long-name"));
    browser.wait_for_state("not loaded");
    assert_accessible(&browser, &axe, "not loaded");
}

#[test]
fn axe_finds_no_violation_on_the_documentation() {
    let Some(axe) = axe() else { return };
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    browser.open(&format!("http://{}/docs/", program.address()));
    browser.wait_until("document.querySelectorAll('.opblock').length > 0");
    assert_accessible(&browser, &axe, "closed");
    browser.try_operation("predict", "\"action\": ");
    assert_accessible(&browser, &axe, "tried");
    // Without a token, there is nothing to enter.
    let mut program = serve(place.path(), &["--dir", "."], &[("SAC_API_TOKEN", "secret")]);
    browser.open(&format!("http://{}/docs/", program.address()));
    browser.wait_until("document.querySelector('.btn.authorize')");
    browser.run("document.querySelector('.btn.authorize').click()");
    browser.wait_until("document.querySelector('.modal-ux')");
    assert_accessible(&browser, &axe, "authorising");
}
