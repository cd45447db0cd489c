//! A headless Chromium, for the tests of the pages. Without a chromedriver they print that they test nothing, and in CI they
//! fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};

use sac_test_support::{Connection, request};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::program::*;

/// A session of its own, ended when it is dropped.
pub struct Browser {
    driver: Child,
    /// The driver ends if it cannot write to it.
    _output: ChildStdout,
    address: SocketAddr,
    session: String,
    /// Where it leaves its files.
    _place: TempDir,
}

impl Browser {
    pub fn start() -> Option<Browser> {
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
            "--window-size=1200,1113",
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

    pub fn open(&self, url: &str) {
        self.call("/url", json!({ "url": url }));
    }

    pub fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Clicks with the mouse. A page may write to the clipboard only after a real click.
    pub fn click(&self, selector: &str) {
        let found = self.call("/element", json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|found| found.values().next()?.as_str()).unwrap();
        self.call(&format!("/element/{id}/click"), json!({}));
    }

    /// Tries an operation of the documentation, with its example as it is, and waits until the answer shows a text.
    #[track_caller]
    pub fn try_operation(&self, operation: &str, shown: &str) {
        let within = |part: &str| format!("document.querySelector('#operations-Policy-{operation} {part}')");
        self.wait_until(&within("button"));
        self.run(&format!("{}.click()", within("button")));
        let answer = within(".live-responses-table");
        // A click before the form has the example is lost.
        self.wait_until(&format!("{answer} || {}?.click()", within(".execute")));
        self.wait_until(&format!("{answer}?.innerText.includes('{shown}')"));
    }

    /// Waits until the condition holds in the page. The error shows the page's text.
    pub fn wait_until(&self, condition: &str) {
        let script = format!(
            "const [done] = arguments; const look = () => ({condition} ? done() : setTimeout(look, 20)); look()"
        );
        let body = json!({ "script": script, "args": [] }).to_string();
        let path = format!("/session{}/execute/async", self.session);
        let (status, answer) = ask(self.address, "POST", &path, "", &body);
        assert_eq!(status, 200, "{condition}: {answer}\n{}", self.run("return document.body.innerText"));
    }

    /// Waits until the state in the header is this, and the tab's title begins with it.
    pub fn wait_for_state(&self, state: &str) {
        let state = json!(state);
        self.wait_until(&format!(
            "document.title.startsWith({state}) && {state}.startsWith(document.getElementById('state').textContent.split(' since')[0])"
        ));
    }

    /// Shows pages as a device of this width does, in a light or a dark scheme and without motion.
    pub fn show_as(&self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        for (command, params) in [("setDeviceMetricsOverride", metrics), ("setEmulatedMedia", media)] {
            self.call("/goog/cdp/execute", json!({ "cmd": format!("Emulation.{command}"), "params": params }));
        }
    }

    /// Runs a script that calls its last argument with the result.
    pub fn run_to_end(&self, script: &str) -> Value {
        self.call("/execute/async", json!({ "script": script, "args": [] }))
    }

    /// Checks that the page sent requests to this server alone, and logged no other complaints than these.
    pub fn assert_sound(&self, origin: &str, complaints: &[&str]) {
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
    pub fn take_picture(&self, variable: &str) {
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
