//! Watches a file whose text stands for its value. "bad" has none.

use std::fs;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::watch::{Found, Freshness};

struct Scene {
    folder: TempDir,
    file: SingleFile,
    freshness: Freshness,
    held: Option<String>,
    reads: usize,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = SingleFile::new(&folder.path().join("tokens"), 4);
        file.settle = Duration::ZERO;
        Scene { folder, file, freshness: Freshness::default(), held: None, reads: 0 }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// Takes the file if it changed, and returns the value and the reason of a refusal.
    fn take(&mut self) -> (Option<&str>, Option<String>) {
        if self.freshness.judge(&self.file).changed {
            let reads = &mut self.reads;
            let renewal = self.freshness.renew(&self.file, false, |bytes| {
                *reads += 1;
                let text = String::from_utf8(bytes).expect("UTF-8");
                if text == "bad" { Err("it is bad".to_owned().into()) } else { Ok(text) }
            });
            self.freshness = renewal.freshness;
            self.held = renewal.loaded.or(self.held.take());
        }
        let refusal = self.freshness.judge(&self.file).refusal.map(|refused| refused.detail.clone());
        (self.held.as_deref(), refusal)
    }
}

#[test]
fn a_change_is_read_once_and_a_refusal_or_a_missing_file_changes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.take(), (None, None));
    scene.write("tokens", "one");
    assert_eq!(scene.take(), (Some("one"), None));
    scene.write("next", "bad");
    fs::rename(scene.folder.path().join("next"), scene.file.path()).expect("renamed");
    for _ in 0..3 {
        assert_eq!(scene.take(), (Some("one"), Some("it is bad".to_owned())));
    }
    assert_eq!(scene.reads, 2);
    fs::remove_file(scene.file.path()).expect("removed");
    assert_eq!(scene.take(), (Some("one"), None));
    scene.write("tokens", "two");
    assert_eq!(scene.take(), (Some("two"), None));
}

#[test]
fn a_rewrite_within_a_tick_of_the_clock_is_noticed_once_the_file_has_aged() {
    fn stuck(found: &Found) -> Identity {
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        Identity { modified: later, changed: later, ..Identity::of(found) }
    }
    let mut scene = Scene::new();
    scene.file.reader.identify = stuck;
    scene.write("tokens", "one");
    assert_eq!(scene.take().0, Some("one"));
    scene.write("tokens", "two");
    assert_eq!(scene.take().0, Some("two"));
}

#[test]
fn files_beside_it_do_not_matter_and_its_errors_do_not_speak_of_checkpoints() {
    let mut scene = Scene::new();
    scene.write("tokens.sha256", &"0".repeat(64));
    scene.write("tokens", "one");
    assert_eq!(scene.take(), (Some("one"), None));
    scene.write("tokens", "large");
    let refusal = scene.take().1;
    assert_eq!(refusal.as_deref(), Some("5 bytes, over the limit of 4 for a file"));
    let mut zip = SingleFile::new(&scene.folder.path().join("key.zip"), 4);
    zip.settle = Duration::ZERO;
    scene.write("key.zip", "key");
    scene.write("key.zip.vecnormalize.pkl", "large");
    assert!(Freshness::default().renew(&zip, false, Ok).loaded.is_some());
}
