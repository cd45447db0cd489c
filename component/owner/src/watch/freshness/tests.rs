use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::watch::{Moment, Seen};

/// Files in memory, newest first. A name and the version of its content.
#[derive(Default)]
struct Files(RefCell<Vec<(&'static str, u64)>>);

impl Files {
    fn put(&self, name: &'static str, version: u64) {
        self.0.borrow_mut().retain(|(other, _)| *other != name);
        self.0.borrow_mut().insert(0, (name, version));
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("files in memory")
    }
}

impl Watch for Files {
    const NOUN: &'static str = "file";
    type Listing = Vec<FileState>;
    type Candidate = FileState;
    type Content = (PathBuf, u64);

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn look(&self, _: Option<&Path>) -> io::Result<Self::Listing> {
        let state = |(name, version): &(&str, u64)| {
            let at = SystemTime::UNIX_EPOCH;
            let identity = Identity { dev: 0, ino: *version, size: 0, modified: at, changed: at };
            FileState { path: name.into(), identity, companions: Vec::new() }
        };
        Ok(self.0.borrow().iter().map(state).collect())
    }

    fn lists(&self, listing: &Self::Listing, path: &Path) -> bool {
        listing.iter().any(|file| file.path == path)
    }

    fn considered<'a>(
        &'a self,
        listing: &'a Self::Listing,
        _: Option<&'a Path>,
    ) -> impl Iterator<Item = &'a Self::Candidate> {
        listing.iter()
    }

    fn read(&self, candidate: &FileState) -> Result<(Seen, Self::Content), Failure> {
        let seen = Seen::read(candidate.clone(), Moment::now(), Duration::ZERO);
        Ok((seen, (candidate.path.clone(), candidate.identity.ino)))
    }

    fn digests((_, version): &Self::Content) -> Vec<String> {
        vec![version.to_string()]
    }
}

fn refusal() -> Failure {
    "it is bad".to_owned().into()
}

#[test]
fn a_file_that_appears_while_another_is_tried_is_the_next_if_it_is_newer() {
    let files = Files::default();
    files.put("older", 1);
    files.put("bad", 1);
    let mut tried = Vec::new();
    let renewal = Freshness::default().renew(&files, false, |(path, _)| {
        tried.push(path.clone());
        if path == Path::new("bad") {
            files.put("newest", 1);
            return Err(refusal());
        }
        Ok(path)
    });
    assert_eq!(renewal.loaded.as_deref(), Some(Path::new("newest")));
    assert_eq!(tried, [Path::new("bad"), Path::new("newest")]);
}

#[test]
fn a_file_that_changes_while_it_is_tried_is_tried_once() {
    let files = Files::default();
    files.put("busy", 0);
    let mut tries = 0;
    let renewal = Freshness::default().renew::<_, ()>(&files, false, |_| {
        tries += 1;
        files.put("busy", tries);
        Err(refusal())
    });
    assert_eq!((tries, renewal.refused.len()), (1, 1));
    assert!(renewal.freshness.judge(&files).changed, "the next request tries what it is now");
}

#[test]
fn a_path_with_slow_tries_is_paused_and_a_forced_renewal_is_not() {
    let files = Files::default();
    let mut freshness = Freshness::default();
    let slow = Duration::from_millis(300);
    for version in 0..3 {
        files.put("slow", version);
        let judgement = freshness.judge(&files);
        // The first try is not known to be slow. A second one need not be waited for. Then there is a pause.
        assert_eq!((judgement.changed, judgement.is_quick), (version < 2, version == 0), "{version}");
        if judgement.changed {
            freshness = freshness
                .renew::<_, ()>(&files, false, |_| {
                    std::thread::sleep(slow);
                    Err(refusal())
                })
                .freshness;
        }
    }
    assert!(freshness.judge(&files).refusal.is_some());
    files.put("good", 1);
    let judgement = freshness.judge(&files);
    assert!(judgement.changed && judgement.is_quick, "the pause is the path's own");
    let renewal = freshness.renew(&files, false, Ok);
    assert_eq!(renewal.loaded, Some(("good".into(), 1)));
    files.put("slow", 9);
    assert!(freshness.renew(&files, true, Ok).loaded.is_some_and(|(path, _)| path == Path::new("slow")));
}

#[test]
fn a_quick_refusal_has_no_pause() {
    let files = Files::default();
    let mut freshness = Freshness::default();
    for version in 0..9 {
        files.put("torn", version);
        assert!(freshness.judge(&files).changed);
        freshness = freshness.renew::<_, ()>(&files, false, |_| Err(refusal())).freshness;
    }
}

#[test]
fn a_fault_of_the_machine_is_tried_again_although_the_file_stays_the_same() {
    let files = Files::default();
    files.put("good", 1);
    let fault = |_| Err(Failure { detail: "no memory".to_owned(), may_pass: true });
    let renewal = Freshness::default().renew::<_, ()>(&files, false, fault);
    assert!(renewal.refused[0].may_pass);
    assert!(renewal.freshness.judge(&files).changed);
    assert!(renewal.freshness.renew(&files, false, Ok).loaded.is_some());
}

#[test]
fn only_a_change_gives_another_judgement_if_a_file_is_in_service_and_none_is_refused() {
    let files = Files::default();
    let none = Freshness::default();
    assert!(!none.is_settled() && !none.has_refused());
    files.put("good", 1);
    let good = none.renew(&files, false, Ok).freshness;
    assert!(good.is_settled() && !good.has_refused());
    files.put("bad", 1);
    let bad = good.renew::<_, ()>(&files, false, |_| Err(refusal())).freshness;
    assert!(!bad.is_settled() && bad.has_refused());
}

#[test]
fn pauses_grow_with_the_time_that_a_path_takes_and_are_bounded() {
    let second = Duration::from_secs(1);
    let pauses = (2..6).map(|tries| super::super::refused::pause(second, tries).as_secs()).collect::<Vec<_>>();
    assert_eq!(pauses, [1, 3, 7, 15]);
    assert_eq!(super::super::refused::pause(second, u32::MAX).as_secs(), 30);
}
