//! The dashboard, in a browser.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sac_test_support::{free_port, publish};
use tempfile::tempdir;

use crate::browser::Browser;
use crate::program::*;

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
    browser.wait_until("document.getElementById('latency').dataset.shown?.includes('p99')");
    if std::env::var_os("SAC_PICTURE").is_some() {
        browser.wait_until("document.getElementById('latency').dataset.steps > 14");
    }
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
    browser.wait_for_state("token needed");
    assert_eq!(browser.run("return document.getElementById('sections').hidden"), true);
    let submit =
        "document.querySelector('[name=token]').value = 'secret'; document.querySelector('#token button').click()";
    browser.run(&format!("window.stays = true; {submit}"));
    browser.wait_for_state("ok");
    browser.wait_until("document.getElementById('model').innerText.includes('model_a.onnx')");
    // A name with markup is shown as text.
    fs::write(place.path().join("model_<b>b.onnx"), b"broken").unwrap();
    browser.wait_until("document.querySelector('#swaps tr')?.innerText.includes('model_<b>b.onnx')");
    browser.wait_for_state("stale since");
    browser.wait_until("document.getElementById('notice').innerText.includes('was refused')");
    assert_eq!(browser.run("return window.stays"), true);
    drop(program);
    browser.wait_for_state("not reached");
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
    browser.wait_until("document.getElementById('notice').innerText === 'Choose a policy.'");
    // A link is followed by the keyboard as well.
    browser.run("document.querySelector('#policies tr:last-child a').focus(); document.activeElement.click()");
    browser.wait_until("document.getElementById('chosen').innerText === 'b'");
    publish(&place.path().join("b/shadow/model_next.onnx"), &file("pendulum_08000.onnx"));
    assert_eq!(ask(address, "POST", "/policies/b/sac/predict", "", STATE).0, 200);
    browser.wait_until("document.getElementById('model').innerText.includes('b/model_a.onnx')");
    browser.wait_until("document.getElementById('swaps').innerText.includes('model_a.onnx')");
    browser.wait_until("document.getElementById('shadow').innerText.includes('1 states, with generation 1')");
    browser.wait_until("document.querySelector('#policies tr:last-child').innerText.includes('mean')");
    assert_eq!(browser.run("return document.activeElement.textContent"), "b");
    browser.take_picture("SAC_POLICIES_PICTURE");
    browser.assert_sound(&origin, &[]);
}

#[test]
fn the_page_of_a_root_says_which_policies_are_not_well_and_why() {
    let Some(browser) = Browser::start() else { return };
    let place = tempdir().unwrap();
    for name in ["good", "broken", "stale"] {
        fs::create_dir(place.path().join(name)).unwrap();
        let content = if name == "broken" { b"broken".to_vec() } else { file("pendulum_00500.onnx") };
        publish(&place.path().join(name).join("model_a.onnx"), &content);
    }
    let mut program = serve(place.path(), &["--root", "."], &[]);
    let address = program.address();
    let origin = format!("http://{address}");
    let predict = |name: &str| ask(address, "POST", &format!("/policies/{name}/sac/predict"), "", STATE).0;
    assert_eq!(["good", "stale", "broken"].map(predict), [200, 200, 500]);
    browser.open(&origin);
    browser.wait_for_state("1 refused");
    let shows = |id: &str, text: &str| {
        browser.wait_until(&format!("document.getElementById('{id}').innerText.includes('{text}')"));
    };
    shows("notice", "broken has no policy in service: the file is text");
    shows("policies", "refused: the file is text");
    shows("swaps", "good/model_a.onnx");
    shows("swaps", "broken/model_a.onnx");
    publish(&place.path().join("stale/model_b.onnx"), b"broken");
    assert_eq!(predict("stale"), 200);
    browser.wait_for_state("1 refused, 1 stale");
    shows("notice", "stale is stale: its newest checkpoint was refused: the file is text");
    shows("swaps", "stale/model_b.onnx");
    // The address of a policy shows it.
    browser.open(&format!("{origin}/policies/good/"));
    browser.wait_for_state("ok · model_a.onnx");
    shows("chosen", "good");
    assert_eq!(browser.run("return document.getElementById('swaps').innerText.includes('stale')"), false);
    browser.open(&format!("{origin}/policies/none"));
    shows("notice", "There is no policy none. Choose one of these.");
    browser.assert_sound(&origin, &[]);
}

#[test]
fn the_charts_and_their_marks_are_there_again_after_a_reload_of_the_page() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address();
    assert_eq!(predict(address).0, 200);
    // No page is open meanwhile.
    fs::write(place.path().join("model_b.onnx"), b"broken").unwrap();
    assert_eq!(ask(address, "POST", "/sac/predict", "", "{}").0, 422);
    let origin = format!("http://{address}");
    for _ in 0..2 {
        browser.open(&origin);
        browser.wait_until("document.getElementById('rate').dataset.shown === 'requests errors'");
        browser.wait_until("document.getElementById('latency').dataset.shown === 'p50 p90 p99'");
        browser.wait_until("document.getElementById('since').textContent.startsWith('since the server started at ')");
        // The pointer goes over the chart until it is at a mark.
        let readout = "document.getElementById('rate-readout').innerText";
        for mark in ["model_a.onnx in service, generation 1", "model_b.onnx refused: the file is text"] {
            let sweep = "(() => { const chart = document.querySelector('#rate .u-over'); const box = chart.getBoundingClientRect(); \
                         window.sweep = ((window.sweep ?? 0) + 2) % box.width; const [clientX, clientY] = [box.left + window.sweep, box.top + 5]; \
                         chart.dispatchEvent(new MouseEvent('mousemove', { clientX, clientY, bubbles: true })); return true; })()";
            browser.run("document.querySelector('#rate .u-over').dispatchEvent(new MouseEvent('mouseenter'))");
            browser.wait_until(&format!("{readout}.includes('{mark}') || ({sweep} && false)"));
        }
        // The keyboard reads values too.
        let press = "document.getElementById('rate').dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }))";
        browser.run(press);
        browser.wait_until(&format!("!{readout}.includes('generation')"));
    }
    browser.assert_sound(&origin, &[]);
}

#[test]
fn a_server_that_does_not_answer_is_busy_then_gone_and_the_page_goes_on_when_it_is_back() {
    let Some(browser) = Browser::start() else { return };
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let origin = format!("http://{}", program.address());
    browser.open(&origin);
    browser.wait_for_state("ok");
    assert_eq!(browser.run("return document.title"), "ok · model_a.onnx · sac-serving");
    browser.click("[aria-label='Copy the sha256']");
    browser.wait_until("document.querySelector('[aria-label=\"Copy the sha256\"]').textContent === 'Copied'");
    let icon = "return document.getElementById('icon').href";
    let well = browser.run(icon);
    program.signal(Signal::STOP).unwrap();
    browser.wait_for_state("busy");
    browser.wait_for_state("not reached");
    browser.wait_until("document.body.classList.contains('gone')");
    browser.wait_until("document.getElementById('notice').innerText.includes('has not answered since ')");
    assert_eq!(browser.run("return document.querySelector('#try button').disabled"), true);
    assert_ne!(browser.run(icon), well);
    program.signal(Signal::CONT).unwrap();
    browser.wait_for_state("ok");
    browser.wait_until("!document.body.classList.contains('gone') && document.getElementById('notice').hidden");
    assert_eq!(browser.run("return document.querySelector('#try button').disabled"), false);
    assert_eq!(browser.run(icon), well);
}

#[test]
fn the_pages_work_below_a_prefix_that_a_proxy_takes_away() {
    let Some(browser) = Browser::start() else { return };
    let (place, site) = (folder(), tempdir().unwrap());
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    // No other test listens on this address, since nginx cannot choose a port and say which.
    let proxy = free_port([127, 0, 0, 31].into()).unwrap();
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {{}} http {{ access_log off; \
         client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; \
         server {{ listen {proxy}; location /rl/ {{ proxy_pass http://{}/; proxy_set_header host $http_host; }} }} }}",
        program.address()
    );
    fs::write(site.path().join("nginx.conf"), configuration).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", site.path().to_str().unwrap(), "-c", "nginx.conf", "-e", "stderr"]);
    let mut nginx = match Process::spawn(nginx) {
        Ok(nginx) => nginx,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "nginx does not start: {error}");
            return eprintln!("NOT TESTED: nginx does not start: {error}");
        }
    };
    nginx.wait_for("event method");
    nginx.read_on(|line| eprintln!("{line}"));
    let origin = format!("http://{proxy}/rl/");
    browser.open(&origin);
    browser.wait_for_state("ok");
    browser.run("document.querySelector('#try button').click()");
    browser.wait_until("document.getElementById('answered').textContent.startsWith('model_a.onnx answered')");
    browser.wait_until("document.getElementById('rate').dataset.shown?.includes('requests')");
    browser.assert_sound(&origin, &[]);
    browser.run("document.getElementById('docs').click()");
    browser.try_operation("predict", "\"action\": ");
    browser.assert_sound(&origin, &[]);
}
