//! Names that would forge lines of a log or move a terminal's cursor.

use std::os::unix::fs::symlink;

use super::*;
use crate::watch::SingleFile;

const HOSTILE: &str = "\nmodel_forged\x1b[2J\u{202e}";
const SHOWN: &str = "\\nmodel_forged\\u{1b}[2J\\u{202e}";

#[test]
fn no_reason_contains_a_name_that_is_more_than_one_line() {
    let mut owner = Owner::new();
    let name = format!("model_a{HOSTILE}.zip");
    owner.write(&name, "a", 0);
    let reason = |owner: &Owner| {
        let candidate = owner.source.candidates().expect("listed").remove(0);
        let error = owner.source.read(&candidate).expect_err("a reason").to_string();
        assert!(error.contains(&format!("model_a{SHOWN}.zip")) && !error.contains(char::is_control), "{error}");
    };
    let beside = |suffix: &str| format!("{name}{suffix}");
    owner.write(&beside(".sha256"), "none", 0);
    reason(&owner);
    owner.write(&beside(".sha256"), &"0".repeat(64), 0);
    reason(&owner);
    fs::remove_file(owner.path(&beside(".sha256"))).expect("removed");
    symlink("/", owner.path(&beside(".policy.json"))).expect("linked");
    reason(&owner);
    fs::remove_file(owner.path(&beside(".policy.json"))).expect("removed");
    fs::create_dir(owner.path(&beside(".policy.json"))).expect("made");
    reason(&owner);
    fs::remove_dir(owner.path(&beside(".policy.json"))).expect("removed");
    owner.write(&beside(".vecnormalize.pkl"), "mean", 0);
    owner.source.limits.max_bytes = 2;
    reason(&owner);
    fs::remove_file(owner.path(&beside(".vecnormalize.pkl"))).expect("removed");
    owner.write("vecnormalize.pkl", "", 0);
    owner.write("vec_normalize.pkl", "", 0);
    reason(&owner);
}

#[test]
fn what_is_watched_and_what_is_refused_is_shown_in_one_line() {
    let mut owner = Owner::new();
    let name = format!("model_a{HOSTILE}.onnx");
    owner.write(&name, "a", 0);
    let file = Source::new(Some(&owner.path(&name)), None, None);
    let folder = Source::new(None, Some(&owner.path(HOSTILE)), None);
    let watched = SingleFile::new(&owner.path(&name), 1);
    for shown in [file.to_string(), folder.to_string(), watched.to_string()] {
        assert!(shown.contains(SHOWN) && !shown.contains(char::is_control), "{shown}");
    }
    owner.write(&format!("{name}.sha256"), "none", 0);
    let renewal = owner.freshness.renew(&owner.source, true, |_| Ok(()));
    let error = renewal.outcome.expect_err("refused").to_string();
    assert!(error.contains(&format!("model_a{SHOWN}.onnx: ")) && !error.contains(char::is_control), "{error}");
    owner.source.patterns = "other_*".parse().expect("a pattern");
    owner.request();
    assert_eq!(
        owner.source.absence().expect("a reason").hint(owner.folder.path()),
        Some(format!("one of its files is model_a{SHOWN}.onnx"))
    );
}
