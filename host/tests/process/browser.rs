//! The pages, in headless Chromium by its WebDriver. Without a chromedriver there is nothing to test them in, which is
//! said; in CI it is a failure.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::program::*;

/// A session of its own, ended when it is dropped.
struct Browser {
    driver: Child,
    /// Open, for who cannot write it any more ends.
    _said: ChildStdout,
    address: String,
    session: String,
    /// What it leaves behind.
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
        let mut said = driver.stdout.take().unwrap();
        let lines = BufReader::new(&mut said).lines();
        let port =
            lines.map_while(Result::ok).find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
        let address = format!("127.0.0.1:{}", port.unwrap().trim_end_matches('.'));
        let mut browser = Browser { driver, _said: said, address, session: String::new(), _place: place };
        // None of its own traffic; as root it runs only without its sandbox.
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
        // For what a page waits for by itself.
        browser.call("/timeouts", json!({ "script": 60_000 }));
        Some(browser)
    }

    fn call(&self, command: &str, body: Value) -> Value {
        let path = format!("/session{}{command}", self.session);
        let (status, answer) =
            ask(&self.address, "POST", &path, "content-type: application/json\r\n", &body.to_string());
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

    /// Waits until the page says so; the error shows what it looks like.
    fn wait_until(&self, condition: &str) {
        let script = format!(
            "const [done] = arguments; const look = () => ({condition} ? done() : setTimeout(look, 20)); look()"
        );
        let body = json!({ "script": script, "args": [] }).to_string();
        let path = format!("/session{}/execute/async", self.session);
        let (status, answer) = ask(&self.address, "POST", &path, "", &body);
        assert_eq!(status, 200, "{condition}: {answer}\n{}", self.run("return document.body.innerText"));
    }

    /// That the page asked nobody but this server, and has nothing to complain of but these.
    fn assert_sound(&self, origin: &str, complaints: &[&str]) {
        let asked = self.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
        let asked = asked.as_array().unwrap();
        let is_ours =
            |url: &Value| ["data:", "blob:", origin].iter().any(|ours| url.as_str().unwrap().starts_with(ours));
        assert!(!asked.is_empty() && asked.iter().all(is_ours), "{asked:?}");
        let log = self.call("/se/log", json!({ "type": "browser" }));
        let log = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap());
        let unexpected = log.filter(|line| !complaints.iter().any(|known| line.contains(known))).collect::<Vec<_>>();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }

    /// As a PNG file, where this variable names one.
    fn take_picture(&self, variable: &str) {
        let Some(path) = std::env::var_os(variable) else { return };
        let (_, answer) = ask(&self.address, "GET", &format!("/session{}/screenshot", self.session), "", "");
        let answer = serde_json::from_str::<Value>(&answer).unwrap();
        fs::write(path, BASE64_STANDARD.decode(answer["value"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium too.
        if TcpStream::connect(&self.address).is_ok() {
            ask(&self.address, "DELETE", &format!("/session{}", self.session), "", "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_demos_pendulum_swings_up_when_its_trained_policy_is_dropped_in() {
    let Some(browser) = Browser::start() else { return };
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--listen", "127.0.0.1:0"]).env_clear().env("SAC_CACHE_DIR", cache());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program::spawn(command);
    let mut out = BufReader::new(program.child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let origin = out.find_map(|line| Some(line.trim().split_once("/ shows the pendulum")?.0.to_owned())).unwrap();
    program.wait_for("checkpoint in service");
    let text = |id: &str| format!("document.getElementById('{id}')?.textContent");
    browser.open(&origin);
    browser.wait_until(&format!("{}?.startsWith('model_early.onnx')", text("answered-by")));
    browser.run("document.querySelector('[data-policy=trained]').click()");
    browser.wait_until(&format!("{}.endsWith('was answered by model_trained.onnx')", text("dropped")));
    // Hanging, it has to gain momentum first.
    browser.wait_until(&format!("Number.parseFloat({}) > 1", text("upright")));
    // The dashboard around it knows too, and has drawn something.
    browser.wait_until("document.querySelector('#swaps tr')?.innerText.includes('generation 2')");
    browser.wait_until("document.querySelectorAll('#latency path')[0]?.getAttribute('d').includes('L')");
    browser.take_picture("SAC_PICTURE");
    browser.assert_sound(&origin, &[]);
    // And the folder goes with it.
    program.signal(Signal::TERM);
    assert!(program.end().0.success());
}

#[test]
fn the_page_asks_for_the_token_and_shows_a_refusal_without_being_loaded_again() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = Program::serve(place.path(), &["--dir", "."], &[("SAC_API_TOKEN", "secret")]);
    let origin = format!("http://{}", program.address());
    browser.open(&origin);
    browser.wait_until("document.getElementById('state').textContent === 'token needed'");
    assert_eq!(browser.run("return document.querySelector('main').hidden"), true);
    let submit =
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('form button').click()";
    browser.run(&format!("window.stays = true; {submit}"));
    browser.wait_until("document.getElementById('state').textContent === 'ok'");
    browser.wait_until("document.getElementById('model').innerText.includes('model_a.onnx')");
    // Its text is text, on the page as elsewhere.
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
fn the_documentation_shows_every_route_and_tries_it() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = Program::serve(place.path(), &["--dir", "."], &[]);
    let origin = format!("http://{}", program.address());
    browser.open(&format!("{origin}/docs"));
    browser.wait_until("document.querySelectorAll('.opblock').length === 6");
    // As it stands, without a word of the user's.
    for (operation, told) in [("get_sac_model_info", "model_a.onnx"), ("post_sac_predict", "\"action\": ")] {
        let within = |part: &str| format!("document.querySelector('#operations-default-{operation} {part}')");
        browser.run(&format!("{}.click()", within("button")));
        browser.wait_until(&within(".execute"));
        browser.run(&format!("{}.click()", within(".execute")));
        browser.wait_until(&format!("{}?.innerText.includes('{told}')", within(".live-responses-table")));
    }
    browser.assert_sound(&origin, &[]);
}
