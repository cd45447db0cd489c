//! The first five minutes: what a newcomer types, and what the program says to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use sac_test_support::{file, publish};
use serde_json::Value;
use tempfile::tempdir;

use crate::program::{ask, folder, path, predict, run, serve};

#[test]
fn serve_takes_a_folder_or_a_file_as_it_is() {
    let place = folder();
    for argument in [".", "model_a.onnx"] {
        let mut program = serve(place.path(), &[argument], &[("STAT_PAIR_RL_DIR", "elsewhere")]);
        let (status, answer) = predict(program.address());
        assert!(status == 200 && answer.contains("model_a.onnx"), "{argument}: {answer}");
    }
}

#[test]
fn serve_waits_for_a_folder_that_a_trainer_is_about_to_create_and_explains_other_paths() {
    let place = tempdir().unwrap();
    let mut program = serve(place.path(), &["checkpoints"], &[]);
    let address = program.address();
    program.wait_for("no candidate in checkpoints: the folder does not exist;");
    assert!(program.seen.ends_with("(it is served once it is there: mkdir -p checkpoints)\n"), "{}", program.seen);
    assert_eq!(predict(address).0, 503);
    fs::create_dir(place.path().join("checkpoints")).unwrap();
    publish(&place.path().join("checkpoints/model_a.onnx"), &file("pendulum_00500.onnx"));
    assert_eq!(predict(address).0, 200);
    for name in ["sac_pendulum.zip", "sac pendulum.zip"] {
        publish(&place.path().join(name), &file("pendulum_00500.sb3.zip"));
    }
    for (argument, reason) in [
        ("sac_pendulum", "sac_pendulum does not exist: did you mean sac_pendulum.zip?"),
        ("model_1.zip", "model_1.zip: there is no such file. To wait for it: --model model_1.zip"),
        ("runs/1", "runs/1 does not exist, and neither does runs. Create it: mkdir -p runs/1"),
        ("sac pendulum", "did you mean sac pendulum.zip? To wait for the folder: --dir 'sac pendulum'"),
    ] {
        let (status, log) = serve(place.path(), &[argument], &[]).end();
        assert!(status.code() == Some(2) && log.contains(reason), "{log}");
    }
}

#[test]
fn serve_listens_on_a_name_and_on_a_port() {
    let place = folder();
    let mut program = serve(place.path(), &[".", "--listen", "localhost:1", "--port", "0"], &[]);
    let address = program.address();
    assert!(address.ip().is_loopback() && address.port() > 1, "{address}");
    assert_eq!(predict(address).0, 200);
    let (code, _, log) = run(&["serve", "--listen", "8000"], &[]);
    assert!(code == 2 && log.contains("expected HOST:PORT"), "{log}");
    let (status, log) = serve(place.path(), &[".", "--listen", "no.such.name.invalid:0"], &[]).end();
    assert!(!status.success() && log.contains("cannot listen on no.such.name.invalid:0"), "{log}");
}

#[test]
fn an_address_in_use_is_explained() {
    let place = folder();
    let mut program = serve(place.path(), &["."], &[]);
    let port = program.address().port().to_string();
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let (status, log) = serve(place.path(), &[".", "--no-auth", "--listen", listen, "--port", &port], &[]).end();
        assert!(
            status.code() == Some(1) && log.contains("another sac-serving answers there. Give another by --port"),
            "{log}"
        );
    }
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let (status, log) = serve(place.path(), &[".", "--port", &port], &[]).end();
    assert!(status.code() == Some(1) && log.contains("another program has it. Give another by --port"), "{log}");
}

#[test]
fn serve_shows_its_pages_and_a_request_that_fits_the_policy() {
    let place = folder();
    let mut program = serve(place.path(), &["."], &[("SAC_API_TOKEN", "secret")]);
    let address = program.address();
    program.wait_for(&format!("the page is http://{address}/, the documentation http://{address}/docs/"));
    program.wait_for(&format!(
        "ask it: curl -s http://{address}/sac/predict -H \"authorization: Bearer $SAC_API_TOKEN\" -d '{{\"state\": [0, 0, 0]}}'"
    ));
}

#[test]
fn a_place_without_a_checkpoint_is_explained_at_once() {
    let place = tempdir().unwrap();
    fs::create_dir(place.path().join("checkpoints")).unwrap();
    publish(&place.path().join("best.onnx"), &file("pendulum_00500.onnx"));
    for (args, reason) in [
        (
            ["--dir", "checkpoint"],
            "the folder does not exist; --dir (STAT_PAIR_RL_DIR) names another (did you mean checkpoints?)",
        ),
        (
            ["--dir", "best.onnx"],
            "leads to a file; --model (STAT_PAIR_RL_MODEL) serves one (serve it by --model best.onnx)",
        ),
        (
            ["--dir", "."],
            "--pattern (SAC_PATTERN) selects other names (one of its files is best.onnx: serve it by --pattern best.onnx, or \
             rename it to model_best.onnx)",
        ),
        (
            ["--model", "bset.onnx"],
            "the file does not exist; --model (STAT_PAIR_RL_MODEL) names another (did you mean best.onnx?)",
        ),
    ] {
        let mut program = serve(place.path(), &args, &[]);
        let address = program.address();
        program.wait_for(reason);
        let (_, health) = ask(address, "GET", "/sac/health", "", "");
        let detail = reason.rsplit_once(" (").unwrap().0;
        assert!(health.contains(detail) && !health.contains("best.onnx"), "{health}");
    }
}

#[test]
fn an_empty_folder_is_explained_in_the_log_and_in_health_until_it_has_a_checkpoint() {
    let place = tempdir().unwrap();
    let mut program = serve(place.path(), &["."], &[]);
    let address = program.address();
    let line =
        program.wait_for("no candidate in .: the folder has no checkpoint yet: it waits for a file named model_*.{");
    assert!(line.contains("INFO"), "{line}");
    let (status, health) = ask(address, "GET", "/sac/health", "", "");
    assert!(status == 503 && health.contains("the folder has no checkpoint yet: it waits for"), "{health}");
    let (status, answer) = predict(address);
    assert_eq!((status, &*answer), (503, r#"{"detail":"No SAC model loaded"}"#));
    publish(&place.path().join("best.onnx"), &file("pendulum_00500.onnx"));
    ask(address, "GET", "/sac/health", "", "");
    program.wait_for("no candidate in .: the file in the folder is not named model_*.{");
    publish(&place.path().join("model_a.onnx"), &file("pendulum_00500.onnx"));
    assert_eq!(predict(address).0, 200);
}

#[test]
fn commands_take_the_address_of_a_server_without_a_scheme() {
    let place = folder();
    let mut program = serve(place.path(), &["."], &[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, program.address().port())).to_string();
    let (code, action, log) = run(&["predict", &address, "--state", "0,1,0.5"], &[]);
    assert!(code == 0 && action.trim().parse::<f64>().is_ok(), "{action}{log}");
    let (code, _, log) = run(&["predict", "no-such-file.pt", "--state", "1"], &[]);
    assert!(code == 1 && log.contains("no-such-file.pt: there is no such file"), "{log}");
}

#[test]
fn healthcheck_says_by_its_exit_code_if_a_server_is_well() {
    let place = tempdir().unwrap();
    let mut program = serve(place.path(), &["--dir", "."], &[]);
    let address = program.address().to_string();
    let (code, shown, _) = run(&["healthcheck", &address], &[]);
    assert!(code == 0 && shown.contains("\"no_model\""), "{shown}");
    let (code, _, log) = run(&["healthcheck", "--ready", &address], &[]);
    assert!(code == 1 && log.contains("no_model"), "{log}");
    publish(&place.path().join("model_a.onnx"), &file("pendulum_00500.onnx"));
    assert_eq!(run(&["healthcheck", "--ready"], &[("SAC_LISTEN", &address)]).0, 0);
    publish(&place.path().join("model_b.onnx"), b"broken");
    let (code, shown, _) = run(&["healthcheck", &address], &[]);
    assert!(code == 0 && shown.contains("\"stale\""), "{shown}");
    drop(program);
    let (code, _, log) = run(&["healthcheck", &address], &[]);
    assert!(code == 1 && log.contains("cannot be reached") && log.matches(&address).count() == 1, "{log}");
}

#[test]
fn healthcheck_of_readiness_fails_while_a_refused_checkpoint_fails_requests() {
    let place = folder();
    let mut program = serve(place.path(), &[".", "--on-bad-checkpoint", "fail"], &[]);
    let address = program.address().to_string();
    assert_eq!(run(&["healthcheck", "--ready", &address], &[]).0, 0);
    publish(&place.path().join("model_z.onnx"), b"broken");
    let (code, _, log) = run(&["healthcheck", "--ready", &address], &[]);
    assert!(code == 1 && log.contains("503") && log.contains("stale"), "{log}");
    assert_eq!(run(&["healthcheck", &address], &[]).0, 0);
}

#[test]
fn a_dash_stands_for_stdout() {
    let model = path("pendulum_00500.state_dict.pt");
    let (code, card, log) = run(&["card", &model, "-o", "-"], &[]);
    assert!(code == 0 && card == run(&["card", &model], &[]).1, "{card}{log}");
    let place = tempdir().unwrap();
    let mut convert = crate::program::command("convert", place.path(), &crate::program::cache());
    let output = convert.args([&model, "-o", "-"]).output().unwrap();
    let written = place.path().join("model_a.onnx");
    fs::write(&written, &output.stdout).unwrap();
    assert_eq!(run(&["inspect", written.to_str().unwrap()], &[]).0, 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn config_check_prints_json() {
    let (code, printed, log) = run(&["config", "check", "--json", "--max-batch", "7"], &[("SAC_API_TOKEN", "secret")]);
    let printed = serde_json::from_str::<Value>(&printed).unwrap();
    assert_eq!(
        (code, &printed["max-batch"]["value"], &printed["max-batch"]["origin"]),
        (0, &"7".into(), &"flag".into()),
        "{log}"
    );
    assert_eq!(printed["api-token"]["value"], "(hidden)");
    assert_eq!(printed["model"]["value"], Value::Null);
}
