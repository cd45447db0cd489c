//! Judges candidates without a model: a file's text stands for a checkpoint, and "bad" for one that does not load.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::watch::{Found, Freshness, Identity};

mod absence;
mod digests;
mod names;
mod promotion;
mod selection;
mod sidecars;

struct Owner {
    folder: TempDir,
    source: Source,
    freshness: Freshness,
    serving: Option<String>,
    loads: usize,
}

impl Owner {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut source = Source::new(None, Some(folder.path()), None);
        source.limits = Limits { settle: Duration::ZERO, ..Limits::default() };
        Owner { folder, source, freshness: Freshness::default(), serving: None, loads: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file. Its mtime is `seconds` after a fixed day.
    fn write(&self, name: &str, text: &str, seconds: u64) {
        fs::write(self.path(name), text).expect("written");
        let file = fs::File::options().write(true).open(self.path(name)).expect("opened");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).expect("dated");
    }

    /// Makes a request. Returns the text in service, and `true` if something newer is refused.
    fn request(&mut self) -> (Option<&str>, bool) {
        // A replaced file that is still young is read twice. The second time its content is the same.
        for _ in 0..2 {
            if self.freshness.judge(&self.source).changed {
                self.renew(false);
            }
        }
        (self.serving.as_deref(), self.freshness.judge(&self.source).refusal.is_some())
    }

    fn renew(&mut self, forced: bool) {
        let loads = &mut self.loads;
        let renewal = self.freshness.renew(&self.source, forced, |content| {
            *loads += 1;
            let text = String::from_utf8_lossy(&content.bytes).into_owned();
            if text == "bad" { Err("it is bad".to_owned().into()) } else { Ok(text) }
        });
        self.freshness = renewal.freshness;
        self.serving = renewal.loaded.or(self.serving.take());
    }
}

#[test]
fn the_newest_serves_and_a_touch_rolls_back() {
    let mut owner = Owner::new();
    assert_eq!(owner.request(), (None, false));
    owner.write("model_a.onnx", "a", 10);
    owner.write("other.onnx", "no", 90);
    owner.write("model_b.tmp", "no", 90);
    assert_eq!(owner.request(), (Some("a"), false));
    owner.write("model_b.onnx", "b", 20);
    assert_eq!(owner.request(), (Some("b"), false));
    owner.write("model_a.onnx", "a", 30);
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.loads, 3);
}

#[test]
fn the_last_name_serves_if_mtimes_are_equal() {
    let mut owner = Owner::new();
    owner.write("model_2.onnx", "2", 10);
    owner.write("model_1.onnx", "1", 10);
    assert_eq!(owner.request(), (Some("2"), false));
}

#[test]
fn numbers_in_names_compare_as_numbers_if_mtimes_are_equal() {
    let mut owner = Owner::new();
    for name in ["model_9.onnx", "model_10.onnx", "model_2.pt"] {
        owner.write(name, name, 10);
    }
    assert_eq!(owner.request(), (Some("model_10.onnx"), false));
    owner.write("model_1.onnx", "newer", 11);
    assert_eq!(owner.request(), (Some("newer"), false));
}

#[test]
fn extensions_count_in_any_case_and_patterns_select_other_names() {
    let mut owner = Owner::new();
    owner.write("model_a.ONNX", "a", 10);
    owner.write("model_b.Ckpt", "b", 20);
    owner.write("best_model.zip", "best", 30);
    owner.write("params.pkl", "params", 40);
    assert_eq!(owner.request(), (Some("b"), false));
    owner.source.patterns = "model_*,best_*".parse().expect("patterns");
    owner.renew(true);
    assert_eq!(owner.request(), (Some("best"), false));
    owner.source.patterns = "*.pkl".parse().expect("patterns");
    owner.renew(true);
    assert_eq!(owner.request(), (Some("params"), false));
}

#[test]
fn sidecars_are_no_candidates() {
    let mut owner = Owner::new();
    owner.source.patterns = "*.*".parse().expect("patterns");
    owner.write("rl_model_10_steps.zip", "model", 0);
    for name in ["policy.json", "rl_model_10_steps.zip.policy.json", "a.onnx.data", "vecnormalize.pkl"] {
        owner.write(name, "bad", 10);
    }
    owner.write("rl_model_10_steps.zip.sha256", &"0".repeat(64), 10);
    assert_eq!(owner.source.candidates().expect("listed").len(), 1);
    fs::remove_file(owner.path("rl_model_10_steps.zip.sha256")).expect("removed");
    assert_eq!(owner.request(), (Some("model"), false));
}

#[test]
fn an_older_mtime_on_the_file_in_service_is_a_change() {
    let mut owner = Owner::new();
    owner.write("model.onnx", "not a candidate: no underscore", 0);
    owner.source = Source::new(Some(&owner.path("model.onnx")), None, None);
    owner.write("model.onnx", "new", 50);
    assert_eq!(owner.request(), (Some("new"), false));
    owner.write("next", "old", 5);
    fs::rename(owner.path("next"), owner.path("model.onnx")).expect("renamed");
    assert_eq!(owner.request(), (Some("old"), false));
}

#[test]
fn a_refused_file_displaces_nothing_and_is_tried_once_until_it_changes() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    owner.write("model_b.onnx", "b", 20);
    assert_eq!(owner.request(), (Some("b"), false));
    owner.write("model_b.onnx", "bad", 30);
    for _ in 0..3 {
        assert_eq!(owner.request(), (Some("b"), true), "the older file does not replace what serves");
    }
    assert_eq!(owner.loads, 2);
    owner.write("model_b.onnx", "b2", 30);
    assert_eq!(owner.request(), (Some("b2"), false));
    owner.write("model_c.onnx", "bad", 40);
    assert_eq!(owner.request(), (Some("b2"), true));
    fs::remove_file(owner.path("model_c.onnx")).expect("removed");
    assert_eq!(owner.request(), (Some("b2"), false), "nothing newer, nothing stale");
}

#[test]
fn a_change_of_the_file_in_service_is_seen_behind_any_number_of_refused_ones() {
    for refused in [1, 8, 40] {
        let mut owner = Owner::new();
        owner.write("model_a.onnx", "a", 10);
        assert_eq!(owner.request(), (Some("a"), false));
        (0..refused).for_each(|number| owner.write(&format!("model_b{number}.onnx"), "bad", 20 + number));
        assert_eq!(owner.request(), (Some("a"), true));
        owner.write("next", "older", 5);
        fs::rename(owner.path("next"), owner.path("model_a.onnx")).expect("renamed");
        assert_eq!(owner.request(), (Some("older"), true), "behind {refused}");
    }
}

#[test]
fn a_deleted_file_gives_way_to_the_newest_of_the_others_and_the_last_stays() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    owner.write("model_b.onnx", "bad", 20);
    owner.write("model_c.onnx", "c", 30);
    assert_eq!(owner.request(), (Some("c"), false));
    fs::remove_file(owner.path("model_c.onnx")).expect("removed");
    assert_eq!(owner.request(), (Some("a"), true));
    fs::remove_file(owner.path("model_a.onnx")).expect("removed");
    fs::remove_file(owner.path("model_b.onnx")).expect("removed");
    assert_eq!(owner.request(), (Some("a"), false));
}

#[test]
fn with_nothing_in_service_the_eight_newest_are_tried() {
    let mut owner = Owner::new();
    owner.write("model_good.onnx", "good", 1);
    for i in 0..8 {
        owner.write(&format!("model_{i}.onnx"), "bad", 10 + i);
    }
    for _ in 0..3 {
        assert_eq!(owner.request(), (None, true));
    }
    assert_eq!(owner.loads, 8);
    fs::remove_file(owner.path("model_0.onnx")).expect("removed");
    assert_eq!(owner.request(), (Some("good"), true));
}

/// Identifies files by a clock that ticks so slowly that every write has the same time.
fn coarse(found: &Found) -> Identity {
    let epoch = SystemTime::UNIX_EPOCH;
    Identity { modified: epoch, changed: epoch, ..Identity::of(found) }
}

/// Identifies files as [`coarse`] does, by a clock that ticks later than now.
fn coarse_and_young(found: &Found) -> Identity {
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
    Identity { modified: later, changed: later, ..Identity::of(found) }
}

#[test]
fn a_rewrite_that_the_clock_cannot_show_is_noticed_once_the_file_has_aged() {
    for broken in [false, true] {
        let mut owner = Owner::new();
        owner.source.identify = coarse_and_young;
        let (first, second) = if broken { ("bad", "new") } else { ("old", "new") };
        owner.write("model_a.onnx", first, 0);
        // `settle` is zero: the file has aged as soon as it is read, and is looked at once more.
        owner.renew(false);
        owner.write("model_a.onnx", second, 0);
        assert_eq!(owner.request(), (Some("new"), false));
        owner.request();
        assert_eq!(owner.loads, 2, "the same content is not loaded again");
    }
}

#[test]
fn a_file_that_was_old_when_it_was_read_is_not_read_again() {
    let mut owner = Owner::new();
    owner.source.identify = coarse;
    owner.write("model_a.onnx", "old", 0);
    owner.renew(false);
    owner.write("model_a.onnx", "new", 0);
    assert_eq!(owner.request(), (Some("old"), false), "identity is all that a request compares");
}

#[test]
fn a_broken_rewrite_within_a_tick_is_refused_and_not_read_again() {
    let mut owner = Owner::new();
    owner.source.identify = coarse_and_young;
    owner.write("model_a.onnx", "old", 0);
    owner.renew(false);
    owner.write("model_a.onnx", "bad", 0);
    assert_eq!(owner.request(), (Some("old"), true));
    owner.request();
    owner.request();
    assert_eq!(owner.request(), (Some("old"), true));
    assert_eq!(owner.loads, 2);
}

#[test]
fn a_forced_renewal_loads_what_has_not_changed_and_tries_what_was_refused() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    owner.request();
    owner.renew(true);
    assert_eq!(owner.loads, 2);
    owner.write("model_b.onnx", "bad", 20);
    owner.request();
    owner.renew(true);
    assert_eq!(owner.request(), (Some("a"), true));
    assert_eq!(owner.loads, 4);
}

#[test]
fn a_digest_is_verified_and_its_correction_heals_the_checkpoint() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    owner.write("model_a.onnx.sha256", &format!("{}  model_a.onnx\n", "0".repeat(64)), 10);
    assert_eq!(owner.request(), (None, true));
    let digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    owner.write("model_a.onnx.sha256", &format!("{digest} *model_a.onnx\n"), 10);
    assert_eq!(owner.request(), (Some("a"), false));
}

#[test]
fn a_large_file_a_folder_and_a_fifo_are_refused_unread() {
    let mut owner = Owner::new();
    owner.source.limits.max_bytes = 4;
    owner.write("model_0.onnx", "good", 0);
    assert_eq!(owner.request(), (Some("good"), false));
    owner.write("model_1.onnx", "large", 10);
    fs::create_dir(owner.path("model_2.onnx")).expect("made");
    let fifo = owner.path("model_3.onnx");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
    let renewal = owner.freshness.renew::<_, ()>(&owner.source, false, |_| Err("none of them loads".to_owned().into()));
    let mut details = renewal.refused.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>();
    details.sort();
    assert_eq!(
        details,
        [
            "5 bytes, over the limit of 4 for a checkpoint: --max-checkpoint-bytes (SAC_MAX_CHECKPOINT_BYTES) raises it",
            "not a regular file",
            "not a regular file"
        ]
    );
}

#[test]
fn a_set_path_decides_alone() {
    let owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    let (folder, missing) = (owner.folder.path(), owner.path("missing.onnx"));
    let candidates = |model, dir| Source::new(model, dir, None).candidates().expect("listed");
    assert!(candidates(Some(&missing), Some(folder)).is_empty());
    assert_eq!(candidates(Some(Path::new(" ")), Some(folder)).len(), 1);
    assert!(candidates(None, Some(&missing)).is_empty());
    assert_eq!(Source::new(None, Some(Path::new("")), None).path(), Path::new(crate::settings::defaults::FOLDER));
    assert_eq!(Source::new(None, Some(Path::new("~/m")), Some(folder)).path(), folder.join("m"));
    assert_eq!(Source::new(Some(Path::new("~")), None, Some(folder)).path(), folder);
    assert_eq!(Source::new(None, Some(Path::new("~x/m")), Some(folder)).path(), Path::new("~x/m"));
}

#[test]
fn a_torn_rewrite_that_a_digest_reveals_is_looked_at_again_once_it_has_aged() {
    let mut owner = Owner::new();
    owner.source.identify = coarse_and_young;
    let digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    owner.write("model_a.onnx.sha256", &format!("{digest}  model_a.onnx"), 0);
    owner.write("model_a.onnx", "?", 0);
    owner.renew(false);
    owner.write("model_a.onnx", "a", 0);
    assert_eq!(owner.request(), (Some("a"), false));
}

#[test]
fn a_known_refusal_is_reported_while_a_newer_candidate_waits_to_be_tried() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 10);
    owner.request();
    owner.write("model_b.onnx", "bad", 20);
    owner.request();
    owner.write("model_c.onnx", "c", 30);
    let judgement = owner.freshness.judge(&owner.source);
    assert!(judgement.changed && judgement.refusal.is_some());
}

#[test]
fn a_second_refusal_for_the_same_reason_is_marked_as_repeated() {
    let owner = Owner::new();
    owner.write("model_a.onnx", "bad", 10);
    let refuse = |_| Err::<(), _>("it is bad".to_owned().into());
    let first = owner.freshness.renew(&owner.source, true, refuse);
    let second = first.freshness.renew(&owner.source, true, refuse);
    assert_eq!((first.refused[0].repeated, second.refused[0].repeated), (false, true));
}
