//! The pages in a headless Chromium. Without a chromedriver these tests print that they test nothing, and in CI they
//! fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};

use sac_test_support::{Connection, publish, request};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::program::*;

/// A session of its own, ended when it is dropped.
struct Browser {
    driver: Child,
    /// The driver ends if it cannot write to it.
    _output: ChildStdout,
    address: SocketAddr,
    session: String,
    /// Where it leaves its files.
    _place: TempDir,
}

impl Browser {
    fn start() -> Option<Browser> {
        let place = tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("TMPDIR", place.path());
        let mut driver = match command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "chromedriver does not start: {error}");
                eprintln!("NOT TESTED: chromedriver does not start: {error}");
                return None;
            }
        };
        let mut output = driver.stdout.take().unwrap();
        let lines = BufReader::new(&mut output).lines();
        let port =
            lines.map_while(Result::ok).find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
        let port = port.unwrap().trim_end_matches('.').parse::<u16>().unwrap();
        let address = ([127, 0, 0, 1], port).into();
        let mut browser = Browser { driver, _output: output, address, session: String::new(), _place: place };
        // It sends no traffic of its own, and runs without its sandbox, as it has to for root.
        let args = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-sync",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--window-size=1200,1320",
            "--hide-scrollbars",
        ]);
        let options = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let session = browser.call("", json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = format!("/{}", session["sessionId"].as_str().unwrap());
        // The longest time that a test waits for a page.
        browser.call("/timeouts", json!({ "script": 100_000 }));
        Some(browser)
    }

    fn call(&self, command: &str, body: Value) -> Value {
        let path = format!("/session{}{command}", self.session);
        let (status, answer) =
            ask(self.address, "POST", &path, "content-type: application/json\r\n", &body.to_string());
        let mut answer = serde_json::from_str::<Value>(&answer).unwrap();
        assert_eq!(status, 200, "{command}: {answer}");
        answer["value"].take()
    }

    fn open(&self, url: &str) {
        self.call("/url", json!({ "url": url }));
    }

    fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Waits until the condition holds in the page. The error shows the page's text.
    fn wait_until(&self, condition: &str) {
        let script = format!(
            "const [done] = arguments; const look = () => ({condition} ? done() : setTimeout(look, 20)); look()"
        );
        let body = json!({ "script": script, "args": [] }).to_string();
        let path = format!("/session{}/execute/async", self.session);
        let (status, answer) = ask(self.address, "POST", &path, "", &body);
        assert_eq!(status, 200, "{condition}: {answer}\n{}", self.run("return document.body.innerText"));
    }

    /// Checks that the page sent requests to this server alone, and logged no other complaints than these.
    fn assert_sound(&self, origin: &str, complaints: &[&str]) {
        let requested = self.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
        let requested = requested.as_array().unwrap();
        let is_ours =
            |url: &Value| ["data:", "blob:", origin].iter().any(|ours| url.as_str().unwrap().starts_with(ours));
        assert!(!requested.is_empty() && requested.iter().all(is_ours), "{requested:?}");
        let log = self.call("/se/log", json!({ "type": "browser" }));
        let log = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap());
        let unexpected = log.filter(|line| !complaints.iter().any(|known| line.contains(known))).collect::<Vec<_>>();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }

    /// Writes a screenshot to the PNG file that this variable names, if it is set.
    fn take_picture(&self, variable: &str) {
        let Some(path) = std::env::var_os(variable) else { return };
        let (_, answer) = ask(self.address, "GET", &format!("/session{}/screenshot", self.session), "", "");
        let answer = serde_json::from_str::<Value>(&answer).unwrap();
        fs::write(path, BASE64_STANDARD.decode(answer["value"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session.
        if let Ok(mut driver) = Connection::open(self.address) {
            let _ = driver.ask(&request("DELETE", &format!("/session{}", self.session), "", ""));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_demos_pendulum_swings_up_when_its_trained_policy_is_dropped_in() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    let mut command = command("demo", place.path(), &cache());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Process::spawn(command).unwrap();
    let mut out = BufReader::new(program.child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let origin = out.find_map(|line| Some(line.trim().split_once("/ shows the pendulum")?.0.to_owned())).unwrap();
    program.wait_for("checkpoint in service");
    let text = |id: &str| format!("document.getElementById('{id}')?.textContent");
    browser.open(&origin);
    browser.wait_until(&format!("{}?.startsWith('model_early.onnx')", text("answered-by")));
    browser.run("document.querySelector('[data-policy=trained]').click()");
    browser.wait_until(&format!("{}.endsWith('was answered by model_trained.onnx')", text("dropped")));
    // It hangs, and has to gain momentum first.
    browser.wait_until(&format!("Number.parseFloat({}) > 1", text("upright")));
    // The dashboard around it shows the swap, and has drawn a chart.
    browser.wait_until("document.querySelector('#swaps tr')?.innerText.includes('generation 2')");
    browser.wait_until("document.querySelectorAll('#latency path')[0]?.getAttribute('d').includes('L')");
    browser.take_picture("SAC_PICTURE");
    browser.assert_sound(&origin, &[]);
    program.signal(Signal::TERM).unwrap();
    assert!(program.end().0.success());
}

#[test]
fn the_page_asks_for_the_token_and_shows_a_refusal_without_a_reload() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[("SAC_API_TOKEN", "secret")]);
    let origin = format!("http://{}", program.address());
    browser.open(&origin);
    browser.wait_until("document.getElementById('state').textContent === 'token needed'");
    assert_eq!(browser.run("return document.querySelector('main').hidden"), true);
    let submit =
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('form button').click()";
    browser.run(&format!("window.stays = true; {submit}"));
    browser.wait_until("document.getElementById('state').textContent === 'ok'");
    browser.wait_until("document.getElementById('model').innerText.includes('model_a.onnx')");
    // A name with markup is shown as text.
    fs::write(place.path().join("model_<b>b.onnx"), b"broken").unwrap();
    browser.wait_until("document.querySelector('#swaps tr')?.innerText.includes('model_<b>b.onnx')");
    browser.wait_until("document.getElementById('state').textContent === 'stale'");
    browser.wait_until("document.getElementById('trouble').innerText.includes('was refused')");
    assert_eq!(browser.run("return window.stays"), true);
    drop(program);
    browser.wait_until("document.getElementById('state').textContent === 'not reached'");
    browser.assert_sound(&origin, &["401 (Unauthorized)", "net::ERR_"]);
}

#[test]
fn the_page_lists_the_policies_of_a_root_and_shows_the_one_that_is_chosen() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir_all(place.path().join(name).join("shadow")).unwrap();
        publish(&place.path().join(name).join("model_a.onnx"), &file("pendulum_00500.onnx"));
    }
    let mut program = serve(place.path(), &["--root", ".", "--shadow-share", "1"], &[]);
    let address = program.address();
    let origin = format!("http://{address}");
    browser.open(&origin);
    browser.wait_until("document.querySelectorAll('#policies tr').length === 2");
    browser.wait_until("document.getElementById('policies').innerText.includes('not loaded')");
    browser.wait_until("document.getElementById('trouble').innerText === 'Choose a policy.'");
    // A link is followed by the keyboard as well.
    browser.run("document.querySelector('#policies tr:last-child a').focus(); document.activeElement.click()");
    browser.wait_until("document.getElementById('chosen').innerText === 'b'");
    publish(&place.path().join("b/shadow/model_next.onnx"), &file("pendulum_08000.onnx"));
    assert_eq!(ask(address, "POST", "/policies/b/sac/predict", "", STATE).0, 200);
    browser.wait_until("document.getElementById('model').innerText.includes('b/model_a.onnx')");
    browser.wait_until("document.getElementById('shadow').innerText.includes('1 states, with generation 1')");
    browser.wait_until("document.querySelector('#policies tr:last-child').innerText.includes('mean')");
    assert_eq!(browser.run("return document.activeElement.textContent"), "b");
    browser.take_picture("SAC_POLICIES_PICTURE");
    browser.assert_sound(&origin, &[]);
}

#[test]
fn the_documentation_shows_every_route_and_tries_it() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let origin = format!("http://{}", program.address());
    browser.open(&format!("{origin}/docs"));
    browser.wait_until("document.querySelectorAll('.opblock').length === 15");
    // The examples are sent as they are.
    for (operation, shown) in [("get_sac_model_info", "model_a.onnx"), ("post_sac_predict", "\"action\": ")] {
        let within = |part: &str| format!("document.querySelector('#operations-default-{operation} {part}')");
        browser.run(&format!("{}.click()", within("button")));
        // A click before the form has the example is lost.
        let (answer, execute) = (within(".live-responses-table"), within(".execute"));
        browser.wait_until(&format!("{answer} || {execute}?.click()"));
        browser.wait_until(&format!("{answer}?.innerText.includes('{shown}')"));
    }
    browser.assert_sound(&origin, &[]);
}
