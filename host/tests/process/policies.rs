//! `serve --root`: many policies in one process.

use std::fs;

use sac_test_support::{Connection, memory, request};
use tempfile::tempdir;

use crate::program::*;

/// The number of threads of a process.
fn threads(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

#[test]
fn two_hundred_policies_take_one_instance_each_and_no_thread() {
    const POLICIES: usize = 200;
    let place = tempdir().unwrap();
    let checkpoint = file("pendulum_00500.onnx");
    for n in 0..POLICIES {
        let folder = place.path().join(format!("policy_{n}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("model_a.onnx"), &checkpoint).unwrap();
    }
    let mut program = serve(place.path(), &["--root", "."], &[]);
    let address = program.address();
    program.read_on(|_| ());
    let mut connection = Connection::open(address).unwrap();
    let mut predict = |n: usize| {
        let path = format!("/policies/policy_{n}/sac/predict");
        let answer = connection.ask(&request("POST", &path, "", STATE)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    // All threads that work for a policy start with the first few.
    (0..10).for_each(&mut predict);
    let (before, memory_before) = (threads(program.id()), memory(program.id(), "VmRSS").unwrap());
    (0..POLICIES).for_each(&mut predict);
    (0..POLICIES).for_each(&mut predict);
    let after = threads(program.id());
    // Shared threads may start where one is busy: four that load, and eight that look at storage that is slow.
    assert!(after <= before + 12, "{before} threads before, {after} after");
    let each = (memory(program.id(), "VmRSS").unwrap().saturating_sub(memory_before)) / (POLICIES as u64 - 10);
    println!("{before} threads before, {after} after; {} KiB for each policy", each >> 10);
    let list = connection.ask(&request("GET", "/policies", "", "")).unwrap();
    assert_eq!(list.text().matches("\"state\":\"loaded\"").count(), POLICIES);
    let metrics = connection.ask(&request("GET", "/metrics", "", "")).unwrap();
    let value =
        |name: &str| metrics.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    // One answers for no policy, one stands ready for the next load, and one may compare backends.
    let instances = value("sac_instances ").unwrap();
    assert!((POLICIES as f64..=POLICIES as f64 + 3.0).contains(&instances), "{instances}");
    println!("{} KiB of memory in an instance", value("sac_instance_memory_bytes ").unwrap() / instances / 1024.0);
}

#[test]
fn a_policy_without_a_shadow_is_no_fault() {
    let place = tempdir().unwrap();
    for name in ["with", "without"] {
        fs::create_dir(place.path().join(name)).unwrap();
        fs::write(place.path().join(name).join("model_a.onnx"), file("pendulum_00500.onnx")).unwrap();
    }
    let shadow = place.path().join("with/shadow");
    fs::create_dir(&shadow).unwrap();
    fs::write(shadow.join("model_b.onnx"), file("pendulum_08000.onnx")).unwrap();
    let mut program = serve(place.path(), &["--root", ".", "--shadow-share", "1"], &[]);
    let address = program.address();
    // One thread compares, in the order of the requests.
    for name in ["without", "with"] {
        assert_eq!(ask(address, "POST", &format!("/policies/{name}/sac/predict"), "", STATE).0, 200);
    }
    program.wait_for("checkpoint in shadow");
    let (_, listed) = ask(address, "GET", "/policies", "", "");
    let listed = serde_json::from_str::<serde_json::Value>(&listed).unwrap();
    let shadows = listed["policies"].as_array().unwrap().iter().map(|policy| &policy["shadow"]).collect::<Vec<_>>();
    assert!(shadows[0].is_object() && shadows[1].is_null(), "{listed}");
    assert!(!program.seen.contains("WARN"), "{}", program.seen);
}

#[test]
fn a_root_without_a_default_policy_passes_the_probe_of_readiness_once_a_policy_can_answer() {
    let place = tempdir().unwrap();
    let mut program = serve(place.path(), &["--root", "."], &[]);
    let address = program.address().to_string();
    let probe = || run(&["healthcheck", "--ready", &address], &[]);
    let (code, _, log) = probe();
    assert!(code == 1 && log.contains("503"), "{log}");
    fs::create_dir(place.path().join("a")).unwrap();
    fs::write(place.path().join("a/model_a.onnx"), file("pendulum_00500.onnx")).unwrap();
    let (code, shown, log) = probe();
    assert_eq!((code, shown.trim()), (0, "{\"ready\":true}"), "{log}");
}
