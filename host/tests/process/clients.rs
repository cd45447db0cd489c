//! `predict` and `bench`, with a server and with a file.

use sac_test_support::publish;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::program::{Process, file, folder, path, run, serve};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A server of one good checkpoint, its folder, and its URL.
fn server(variables: &[(&str, &str)]) -> (Process, TempDir, String) {
    let place = folder();
    let mut program = serve(place.path(), &["--dir", "."], variables);
    let url = format!("http://{}", program.address());
    program.wait_for("checkpoint in service");
    (program, place, url)
}

#[test]
fn predict_prints_the_same_action_for_a_file_and_for_a_server_of_it() {
    let (_program, _place, url) = server(&[]);
    let file = path("pendulum_00500.onnx");
    for more in [&[][..], &["--stochastic", "--seed", "7"]] {
        let ask = |target: &str| run(&[&["predict", target, "--state", "-0.3,0.4,-0.5"], more].concat(), &[]);
        let (code, action, log) = ask(&url);
        assert!(code == 0 && action.trim().parse::<f64>().is_ok(), "{action}{log}");
        assert_eq!(ask(&file).1, action);
    }
    let (_, mean, _) = run(&["predict", &file, "--state", "[-0.3, 0.4, -0.5]"], &[]);
    assert_eq!(run(&["predict", &file, "--state", "-0.3 0.4  -0.5"], &[]).1, mean);
    let (_, whole, _) = run(&["predict", &url, "--json", "--state", "-0.3,0.4,-0.5"], &[]);
    assert_eq!(json(&whole)["action"], json(&mean));
    assert!(json(&whole)["model_path"].as_str().unwrap().ends_with("model_a.onnx"));
}

#[test]
fn commands_take_the_newest_checkpoint_of_a_folder() {
    let place = folder();
    publish(&place.path().join("model_b.onnx"), &file("pendulum_08000.onnx"));
    let newest = path("pendulum_08000.onnx");
    let place_path = place.path().to_str().unwrap();
    let predict = |target: &str| run(&["predict", target, "--state", "0.3,-0.4,0.5"], &[]);
    let (code, action, log) = predict(place_path);
    assert!(code == 0 && log.contains("the newest checkpoint is ") && log.contains("model_b.onnx"), "{log}");
    assert_eq!(action, predict(&newest).1);
    let (code, shown, log) = run(&["inspect", "--json", place_path], &[]);
    assert!(code == 0 && json(&shown)["path"].as_str().unwrap().ends_with("model_b.onnx"), "{shown}{log}");
    // As a server with the same settings does.
    publish(&place.path().join("rl_model_1.onnx"), &file("pendulum_00500.onnx"));
    let (code, action, _) = run(&["predict", place_path, "--state", "0.3,-0.4,0.5"], &[("SAC_PATTERN", "rl_model_*")]);
    assert_eq!((code, action), (0, predict(&path("pendulum_00500.onnx")).1));
    let empty = tempdir().unwrap();
    let (code, _, log) = predict(empty.path().to_str().unwrap());
    assert!(code == 1 && log.contains(" has no checkpoint named model_*.{onnx,"), "{log}");
}

#[test]
fn a_commands_failure_is_printed_whatever_the_log_filter_is() {
    let (code, _, log) = run(&["predict", "no-such-file", "--state", "1"], &[("RUST_LOG", "another=debug")]);
    assert_eq!((code, log.trim()), (1, "error: no-such-file: there is no such file"));
}

#[test]
fn predict_fails_with_the_reason_that_the_server_or_the_file_gives() {
    let (_program, _place, url) = server(&[("SAC_API_TOKEN", "secret")]);
    let file = path("pendulum_00500.onnx");
    for (target, state, reason) in [
        (&*url, "1,2,3", "--api-token (SAC_API_TOKEN) sends the server's token"),
        (&file, "1,2", "gives no action: 400: state_dim mismatch: got 2, expected 3"),
        (&path("torch/executes.pt"), "1", "gives no action: the file holds no tensors"),
        ("no-such-file", "1", "there is no such file"),
    ] {
        let (code, out, log) = run(&["predict", target, "--state", state], &[]);
        assert!(code == 1 && out.is_empty() && log.contains(reason), "{target}: {log}");
    }
    assert_eq!(run(&["predict", &url, "--state", "1,2,3"], &[("SAC_API_TOKEN", "secret")]).0, 0);
    for (target, state) in [
        (&*file, "1,two"),
        (&file, "1,nan"),
        (&file, "1,,2,3"),
        ("ftp://localhost", "1"),
        ("http://localhost/sac", "1"),
        ("http://localhost:80000", "1"),
        ("http://me:secret@localhost", "1"),
    ] {
        assert_eq!(run(&["predict", target, "--state", state], &[]).0, 2, "{target} {state}");
    }
    assert_eq!(run(&["predict", &file, "--state", "1,2,3", "--seed", "7"], &[]).0, 2, "a mean takes no seed");
}

#[test]
fn an_https_server_is_asked_only_if_its_certificate_is_trusted() {
    let place = folder();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| place.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&chain, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let mut program = serve(place.path(), &["--dir", ".", "--tls-cert", &chain, "--tls-key", &key], &[]);
    let port = program.address().port();
    program.wait_for("checkpoint in service");
    let predict = |host: &str, trusted: &str| {
        let url = format!("https://{host}:{port}");
        run(&["predict", &url, "--state", "1,2,3", "--ca-cert", trusted], &[])
    };
    let (code, action, log) = predict("localhost", &chain);
    assert!(code == 0 && action.trim().parse::<f64>().is_ok(), "{action}{log}");
    let rcgen::CertifiedKey { cert: stranger, .. } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = place.path().join("other.pem").to_str().unwrap().to_owned();
    std::fs::write(&other, stranger.pem()).unwrap();
    for (host, trusted, reason, expected) in [
        ("localhost", &*other, "cannot be reached: invalid peer certificate", 1),
        ("127.0.0.1", &chain, "cannot be reached: invalid peer certificate", 1),
        ("localhost", &key, "the file holds no PEM certificate", 2),
        ("localhost", "no-such-file", "the certificates in no-such-file are refused", 2),
    ] {
        let (code, _, log) = predict(host, trusted);
        assert!(code == expected && log.contains(reason), "{host} {trusted}: {log}");
    }
    let (code, _, log) = run(&["healthcheck", &format!("http://localhost:{port}")], &[]);
    let question = format!("gives no answer of HTTP (did you mean https://localhost:{port}?)");
    assert!(code == 1 && log.contains(&question), "{log}");
    // The certificate of the variables is the server's own, by whatever name.
    for address in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let variables = |certificate| [("SAC_LISTEN", &*address), ("SAC_TLS_CERT", certificate), ("SAC_TLS_KEY", &key)];
        let (code, health, log) = run(&["healthcheck"], &variables(&chain));
        assert!(code == 0 && health.contains("\"ok\""), "{health}{log}");
        assert_eq!(run(&["healthcheck"], &variables(&other)).0, 1, "another server's");
    }
    let url = format!("https://localhost:{port}");
    let (code, report, log) = run(&["bench", &url, "--ca-cert", &chain, "-d", "1s", "--warmup", "0s", "--json"], &[]);
    assert!(code == 0 && json(&report)["requests"].as_u64().unwrap() > 0, "{log}");
}

#[test]
fn a_servers_own_certificate_is_trusted_although_it_says_that_it_is_an_authoritys() {
    let place = folder();
    let now = rcgen::date_time_ymd(2020, 1, 1);
    let make = |name: &str, end: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let hosts = if name == "nameless" { vec![] } else { vec!["localhost".to_owned()] };
        let mut params = rcgen::CertificateParams::new(hosts).unwrap();
        // As `openssl req -x509` does.
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (now, rcgen::date_time_ymd(end, 1, 1));
        let [chain, file] = ["chain", "key"].map(|kind| place.path().join(format!("{name}.{kind}.pem")));
        std::fs::write(&chain, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        [chain, file].map(|path| path.to_str().unwrap().to_owned())
    };
    let ask = |[chain, key]: [String; 2], host: &str, trusted: &str| {
        let mut program = serve(place.path(), &["--dir", ".", "--tls-cert", &chain, "--tls-key", &key], &[]);
        let url = format!("https://{host}:{}", program.address().port());
        let (code, _, log) = run(&["predict", &url, "--state", "1,2,3", "--ca-cert", trusted], &[]);
        (code, log)
    };
    let [own, nameless] = [make("own", 4000), make("nameless", 4000)];
    for served in [&own, &nameless] {
        let (code, log) = ask(served.clone(), "localhost", &served[0]);
        assert_eq!(code, 0, "{log}");
    }
    let [other, expired] = [make("other", 4000), make("expired", 2021)];
    for (served, host, trusted) in [
        (&own, "127.0.0.1", &own[0]),
        (&own, "localhost", &other[0]),
        (&nameless, "localhost", &other[0]),
        (&expired, "localhost", &expired[0]),
    ] {
        let (code, log) = ask(served.clone(), host, trusted);
        let is_refused =
            log.contains("invalid peer certificate") && log.contains("--ca-cert FILE names the certificates to trust");
        assert!(code == 1 && is_refused, "{host} {trusted}: {log}");
    }
}

#[test]
fn bench_measures_a_server_and_a_file() {
    let (_program, _place, url) = server(&[]);
    let place = tempdir().unwrap();
    let picture = place.path().join("bench.svg");
    let common = ["--duration", "1s", "--warmup", "50ms", "--connections", "2", "--json"];
    for (target, more) in
        [(url, &["--svg", picture.to_str().unwrap()][..]), (path("pendulum_00500.onnx"), &["--batch", "8"])]
    {
        let (code, out, log) = run(&[&["bench", &target], &common[..], more].concat(), &[]);
        assert_eq!(code, 0, "{log}");
        let report = json(&out);
        let requests = report["requests"].as_f64().unwrap();
        let per_second = report["requests_per_second"].as_f64().unwrap();
        // The answer to the last request of each connection comes after the end.
        let late = requests - per_second;
        assert!(requests >= 1.0 && (-0.01..=2.01).contains(&late), "{report}");
        let times = ["p50", "p90", "p99", "p99.9", "max"].map(|name| report["latency_seconds"][name].as_f64().unwrap());
        assert!(times.is_sorted() && times[0] > 1e-6 && times[4] < 60.0, "{report}");
        assert_eq!((&report["errors"], report["checkpoints"].as_array().unwrap().len()), (&json("{}"), 1));
    }
    assert!(std::fs::read_to_string(picture).unwrap().contains("requests a second over 2 connections"));
    let (_, shown, _) = run(&["bench", &path("pendulum_00500.onnx"), "-d", "1s", "--warmup", "10ms"], &[]);
    assert!(shown.contains("answered by") && shown.contains("p99.9") && shown.contains('█'), "{shown}");
}

#[test]
fn bench_asks_at_the_rate_that_it_is_given() {
    let args =
        ["bench", &path("pendulum_00500.onnx"), "-d", "1s", "--warmup", "100ms", "-c", "4", "--rate", "200", "--json"];
    let (code, out, log) = run(&args, &[]);
    assert_eq!(code, 0, "{log}");
    let report = json(&out);
    let [requests, not_asked] = ["requests", "not_asked"].map(|name| report[name].as_u64().unwrap());
    // On a busy machine some requests are late or not sent, which the report shows. Up to 20 are left from the warm-up.
    assert!((1..=221).contains(&requests) && requests + not_asked >= 196, "{report}");
}

#[test]
fn bench_reports_the_requests_that_it_could_not_send_in_time() {
    let file = path("pendulum_00500.onnx");
    let args = ["bench", &file, "-d", "500ms", "--warmup", "500ms", "--rate", "100000000"];
    let (code, printed, log) = run(&[&args[..], &["--json"]].concat(), &[]);
    assert_eq!(code, 0, "{log}");
    let report = json(&printed);
    let [requests, not_asked] = ["requests", "not_asked"].map(|name| report[name].as_f64().unwrap());
    // The requests of the warm-up count too.
    assert!(requests >= 1.0 && not_asked > 9e7, "{report}");
    // A request waits at least half a second for those that were planned before it.
    assert!(report["latency_seconds"]["p50"].as_f64().unwrap() > 0.5, "{report}");
    let (_, shown, _) = run(&args, &[]);
    assert!(
        shown.contains("planned      100000000 a second; ") && shown.contains(" not sent before the end"),
        "{shown}"
    );
}

#[test]
fn bench_can_have_more_connections_than_a_server_takes_requests_at_once() {
    let file = path("pendulum_00500.onnx");
    let (code, printed, log) = run(&["bench", &file, "-c", "1100", "-d", "500ms", "--json"], &[]);
    assert_eq!((code, &json(&printed)["errors"]), (0, &json("{}")), "{log}");
}

#[test]
fn bench_fails_if_there_is_nothing_to_measure_or_the_answers_are_errors() {
    let empty = tempdir().unwrap();
    let mut program = serve(empty.path(), &[], &[]);
    let url = format!("http://{}", program.address());
    let (code, _, log) = run(&["bench", &url], &[]);
    assert!(code == 1 && log.contains("serves nothing to measure: 503: No SAC model loaded"), "{log}");
    drop(program);
    let (code, _, log) = run(&["bench", &url], &[]);
    assert!(code == 1 && log.contains(&format!("{url} cannot be reached")), "{log}");

    // Batches of two are refused, so that all answers are errors.
    let (_program, _place, url) = server(&[("SAC_MAX_BATCH", "1")]);
    let (code, _, log) = run(&["bench", &url, "--batch", "2", "-d", "1s", "--warmup", "0s"], &[]);
    assert!(code == 1 && log.contains("× status 400"), "{log}");
}
