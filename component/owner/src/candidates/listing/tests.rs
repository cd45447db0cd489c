//! Counts the file calls of a request: each one but the reading of the folder makes an identity.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::thread;

use arc_swap::Guard;
use tempfile::TempDir;

use super::super::limits::WATCHED;
use super::super::source::Source;
use super::*;
use crate::watch::{FileKind, Found, Freshness, Watch};

mod watched;

const MANY: usize = 10_000;
/// More candidates than are watched.
const SOME: usize = 2 * WATCHED;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a call. The mtime takes the place of the ctime, which cannot be set, so that a folder can be made old.
fn counted(found: &Found) -> Identity {
    CALLS.set(CALLS.get() + 1);
    let identity = Identity::of(found);
    Identity { changed: identity.modified, ..identity }
}

struct Scene {
    root: TempDir,
    source: Source,
    aged: Cell<usize>,
}

impl Scene {
    /// Makes a folder of `count` checkpoints, each with its number as its mtime. Nothing sweeps it.
    fn of(count: usize) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(root.path().join("folder")).expect("made");
        let mut source = Source::new(None, Some(&root.path().join("folder")), None);
        source.identify = counted;
        source.limits.sweep = Duration::MAX;
        let scene = Scene { root, source, aged: Cell::new(0) };
        (0..count).for_each(|number| scene.write(&name(number), "x", number));
        scene.age();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("folder").join(name)
    }

    fn write(&self, name: &str, text: &str, seconds: usize) {
        fs::write(self.path(name), text).expect("written");
        date(&self.path(name), seconds);
    }

    /// Dates the folder long ago, and later than the last time.
    fn age(&self) {
        self.aged.set(self.aged.get() + 1);
        date(&self.path(""), self.aged.get());
    }

    fn look(&self) -> Guard<Arc<Listing>> {
        self.source.look(Some(&self.path(&name(0)))).expect("looked at").0
    }

    /// Makes a request. Returns the newest candidate and the number of calls.
    fn request(&self) -> (String, usize) {
        CALLS.set(0);
        let newest = self.look().candidates[0].state.path.file_name().expect("a name").to_string_lossy().into_owned();
        (newest, CALLS.get())
    }

    /// Returns the identities of the newest candidate's sidecars.
    fn companions(&self) -> Vec<Identity> {
        self.look().candidates[0].state.companions.clone()
    }

    fn found(&self, name: &str) -> Option<Identity> {
        self.look().candidates.iter().find(|c| c.state.path == self.path(name)).map(|c| c.state.identity)
    }

    fn is_listed_by_a_request(&self) -> bool {
        self.source.cache.last.load().began != self.look().began
    }
}

fn name(number: usize) -> String {
    format!("model_{number:05}.onnx")
}

fn date(path: &Path, seconds: usize) {
    let file = fs::File::open(path).expect("opened");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds as u64)).expect("dated");
}

#[test]
fn with_one_file_a_request_looks_at_the_folder_and_at_the_file() {
    let scene = Scene::of(1);
    scene.request();
    assert_eq!(scene.request(), (name(0), 2));
    assert!(!scene.is_listed_by_a_request());
}

#[test]
fn only_statistics_that_are_listed_are_looked_for() {
    let scene = Scene::of(0);
    scene.write("model_a.zip", "x", 0);
    scene.age();
    scene.request();
    assert_eq!(scene.request().1, 2);
    assert!(scene.companions().is_empty());
    scene.write("model_a.zip.vecnormalize.pkl", "mean", 0);
    let appeared = scene.companions();
    assert_eq!(appeared.len(), 1);
    scene.age();
    scene.request();
    assert_eq!(scene.request().1, 3);
    scene.write("model_a.zip.vecnormalize.pkl", "another mean", 0);
    assert_ne!(scene.companions(), appeared, "in its place");
    fs::remove_file(scene.path("model_a.zip.vecnormalize.pkl")).expect("removed");
    assert!(scene.companions().is_empty());
}

#[test]
fn a_sidecar_of_all_candidates_costs_one_call_a_request_and_one_of_its_own_costs_another() {
    let scene = Scene::of(SOME);
    scene.write("policy.json", "{}", 0);
    scene.write("other.txt", "", 0);
    scene.age();
    scene.request();
    // The folder, the newest, the one in service, and the card.
    let common = 1 + WATCHED + 1 + 1;
    assert_eq!(scene.request().1, common);
    scene.write(&format!("{}.data", name(SOME - 1)), "weights", 0);
    scene.age();
    scene.request();
    assert_eq!(scene.request().1, common + 1);
    let before = scene.companions();
    scene.write("policy.json", "{ }", 0);
    assert_ne!(scene.companions(), before);
}

#[test]
fn a_folder_named_as_a_checkpoint_is_watched_for_statistics() {
    let scene = Scene::of(0);
    scene.write("model_a.zip", "x", 0);
    fs::create_dir(scene.path("model_a")).expect("made");
    fs::create_dir(scene.path("model_b")).expect("made");
    scene.age();
    scene.request();
    fs::write(scene.path("model_a/vecnormalize.pkl"), "mean").expect("written");
    assert_eq!(scene.companions().len(), 1, "the checkpoint's folder is the same");
    assert_eq!(scene.request().1, 3);
    fs::remove_file(scene.path("model_a/vecnormalize.pkl")).expect("removed");
    assert!(scene.companions().is_empty());
}

#[test]
fn a_digest_that_comes_or_goes_is_seen() {
    let scene = Scene::of(1);
    assert!(!scene.look().candidates[0].sidecars.digest);
    scene.write("model_00000.onnx.sha256", "", 0);
    assert!(scene.look().candidates[0].sidecars.digest);
    fs::remove_file(scene.path("model_00000.onnx.sha256")).expect("removed");
    assert!(!scene.look().candidates[0].sidecars.digest);
}

#[test]
fn the_cost_is_flat_with_ten_thousand_files_and_a_new_one_is_seen() {
    let scene = Scene::of(MANY);
    assert_eq!(scene.request(), (name(MANY - 1), 1 + MANY));
    // The folder, the newest, and the one in service, which is the oldest here.
    assert_eq!(scene.request(), (name(MANY - 1), 1 + WATCHED + 1));
    assert!(!scene.is_listed_by_a_request());
    scene.write("model_new.onnx", "x", MANY);
    assert_eq!(scene.request().0, "model_new.onnx");
}

#[test]
fn a_request_to_an_owner_costs_no_more_than_the_look() {
    let scene = Scene::of(SOME);
    let freshness = Freshness::default().renew(&scene.source, false, |_| Ok(())).freshness;
    CALLS.set(0);
    assert!(!freshness.judge(&scene.source).changed);
    assert_eq!(CALLS.get(), 1 + WATCHED);
}

#[test]
fn the_touch_of_a_file_that_is_not_watched_is_seen_by_the_first_request_after_the_sweep() {
    let mut scene = Scene::of(SOME);
    scene.request();
    date(&scene.path(&name(1)), SOME);
    assert_eq!(scene.request().0, name(SOME - 1), "not yet");
    scene.source.limits.sweep = Duration::ZERO;
    assert_eq!(scene.request().0, name(1));
}

#[test]
fn the_touch_of_the_file_in_service_or_of_a_newest_is_seen_at_once() {
    let scene = Scene::of(SOME);
    scene.request();
    date(&scene.path(&name(0)), SOME);
    assert_eq!(scene.request().0, name(0));
    date(&scene.path(&name(SOME - WATCHED + 1)), SOME + 1);
    assert_eq!(scene.request().0, name(SOME - WATCHED + 1));
}

#[test]
fn a_file_renamed_over_another_is_seen_wherever_it_ranks_and_however_old_it_is() {
    let scene = Scene::of(SOME);
    for number in [SOME - 1, 1, 0] {
        let before = scene.found(&name(number));
        scene.write("next", "x", 0);
        scene.age();
        scene.request();
        fs::rename(scene.path("next"), scene.path(&name(number))).expect("renamed");
        assert_ne!(scene.found(&name(number)), before);
    }
}

#[test]
fn a_deleted_file_is_gone_wherever_it_ranks() {
    let scene = Scene::of(SOME);
    for number in [SOME - 1, 1, 0] {
        scene.age();
        assert!(scene.found(&name(number)).is_some());
        fs::remove_file(scene.path(&name(number))).expect("removed");
        assert!(scene.found(&name(number)).is_none());
    }
}

/// Identifies a folder by a clock that stands still.
fn stuck(found: &Found) -> Identity {
    let identity = counted(found);
    let is_folder = found.kind == FileKind::Folder;
    let tick = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if is_folder { Identity { size: 0, modified: tick, changed: tick, ..identity } } else { identity }
}

#[test]
fn a_file_that_comes_within_a_tick_of_the_listing_is_seen_and_an_aged_folder_is_listed_once() {
    let mut scene = Scene::of(1);
    scene.source.identify = stuck;
    scene.source.limits.settle = Duration::from_secs(1 << 33);
    scene.request();
    scene.write(&name(1), "x", 1);
    assert_eq!(scene.request().0, name(1), "the folder is young: it is listed by each request");
    scene.write(&name(2), "x", 2);
    scene.source.limits.settle = Duration::from_secs(1);
    assert_eq!(scene.request().0, name(2), "and once more when it has aged");
    assert!(!scene.is_listed_by_a_request());
}

/// Identifies a folder as [`stuck`] does, by a clock that is ahead of this machine's.
fn ahead(found: &Found) -> Identity {
    let identity = stuck(found);
    let later = Duration::from_secs(1 << 33);
    let is_folder = identity.size == 0;
    if is_folder {
        Identity { modified: identity.modified + later, changed: identity.changed + later, ..identity }
    } else {
        identity
    }
}

#[test]
fn a_clock_that_is_ahead_costs_the_listings_of_one_tick_and_hides_no_file() {
    let mut scene = Scene::of(1);
    scene.source.identify = ahead;
    scene.source.limits.settle = Duration::from_secs(1 << 33);
    scene.request();
    scene.write(&name(1), "x", 1);
    assert_eq!(scene.request().0, name(1), "within the tick, each request lists");
    scene.write(&name(2), "x", 2);
    scene.source.limits.settle = Duration::ZERO;
    assert_eq!(scene.request().0, name(2), "and the first one after it");
    assert!(!scene.is_listed_by_a_request());
}

#[test]
fn a_folder_that_is_dated_in_the_future_is_listed_when_it_changes_and_not_by_each_request() {
    let mut scene = Scene::of(SOME);
    scene.source.limits.settle = Duration::ZERO;
    date(&scene.path(""), 1 << 33);
    scene.request();
    scene.request();
    assert!(!scene.is_listed_by_a_request());
    assert_eq!(scene.request().1, 1 + WATCHED + 1);
    scene.write(&name(SOME), "x", SOME);
    assert_eq!(scene.request().0, name(SOME), "a new file dates the folder by the file system's clock");
}

#[test]
fn a_new_file_in_a_folder_without_times_is_seen_after_the_sweep() {
    let mut scene = Scene::of(1);
    scene.source.identify = stuck;
    scene.request();
    scene.write(&name(1), "x", 1);
    assert_eq!(scene.request().0, name(0), "not yet");
    scene.source.limits.sweep = Duration::ZERO;
    assert_eq!(scene.request().0, name(1));
}

#[test]
fn a_symlink_that_leads_elsewhere_is_followed_whether_it_is_the_folder_or_in_it() {
    let scene = Scene::of(1);
    let (target, swapped, folder) = (scene.root.path().join("1"), scene.root.path().join("link"), scene.path(""));
    fs::rename(&folder, &target).expect("moved");
    symlink(&target, scene.root.path().join("folder")).expect("linked");
    let first = scene.found(&name(0)).expect("followed");
    let second = scene.root.path().join("2");
    fs::create_dir(&second).expect("made");
    fs::copy(target.join(name(0)), second.join(name(0))).expect("copied");
    symlink(&second, &swapped).expect("linked");
    fs::rename(&swapped, scene.root.path().join("folder")).expect("swapped");
    scene.age();
    assert_ne!(scene.found(&name(0)), Some(first));

    symlink(scene.root.path().join("later"), scene.path("model_link.onnx")).expect("linked");
    scene.age();
    scene.request();
    assert!(scene.found("model_link.onnx").is_none());
    fs::write(scene.root.path().join("later"), "x").expect("written");
    assert!(scene.found("model_link.onnx").is_some(), "the folder is the same");
}

#[test]
fn a_folder_that_goes_and_comes_again_is_seen() {
    let scene = Scene::of(1);
    scene.request();
    fs::remove_dir_all(scene.path("")).expect("removed");
    assert!(scene.look().candidates.is_empty());
    CALLS.set(0);
    assert!(!scene.is_listed_by_a_request(), "a folder that is missing is looked for");
    assert_eq!(CALLS.get(), 0);
    fs::create_dir(scene.path("")).expect("made");
    assert!(scene.look().candidates.is_empty());
    scene.write(&name(3), "x", 3);
    assert_eq!(scene.request().0, name(3));
}

#[test]
fn a_chosen_file_takes_two_calls_and_its_end_and_return_are_seen() {
    let mut scene = Scene::of(1);
    let mut source = Source::new(Some(&scene.path(&name(0))), None, None);
    (source.identify, source.limits) = (scene.source.identify, scene.source.limits);
    scene.source = source;
    scene.request();
    assert_eq!(scene.request(), (name(0), 2), "the file and its folder");
    fs::remove_file(scene.path(&name(0))).expect("removed");
    assert!(scene.look().candidates.is_empty());
    scene.write(&name(0), "x", 0);
    assert_eq!(scene.request().0, name(0));
}

#[test]
fn concurrent_requests_see_each_file_that_was_there_before_them() {
    let scene = Scene::of(1);
    let source = &scene.source;
    let folder = scene.path("");
    thread::scope(|threads| {
        for thread in 0..4 {
            let folder = &folder;
            threads.spawn(move || {
                for number in 0..50 {
                    let path = folder.join(format!("model_{thread}_{number}.onnx"));
                    fs::write(&path, "x").expect("written");
                    let listing = source.look(None).expect("looked at").0;
                    assert!(listing.candidates.iter().any(|c| c.state.path == path));
                }
            });
        }
    });
}
