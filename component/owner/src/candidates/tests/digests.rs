//! The file that holds a checkpoint's sha256: where it may be, and what is said of one that does not fit.

use std::os::unix::fs::symlink;

use super::*;
use crate::watch::{Failure, Watch};

/// The sha256 of "a".
const DIGEST: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
/// A token that has the form of a digest.
const TOKEN: &str = "5eed0000000000000000000000000000000000000000000000000000000c0de5";

impl Owner {
    /// Reads the newest candidate, and returns the reason of its refusal.
    fn refusal(&self) -> Option<Failure> {
        let candidate = self.source.candidates().expect("listed").remove(0);
        Watch::read(&self.source, &candidate).err()
    }

    #[track_caller]
    fn assert_refused(&mut self, reason: &str) {
        assert_eq!(self.request(), (None, true));
        let Failure { detail, may_pass } = self.refusal().expect("a refusal");
        assert_eq!((detail.as_str(), may_pass), (reason, false));
    }
}

#[test]
fn a_digest_is_read_within_the_folder_alone_and_never_repeated() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let token = elsewhere.path().join("token");
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 0);
    let digest = owner.path("model_a.onnx.sha256");
    for content in [format!("{TOKEN}\n"), "secret".to_owned(), DIGEST.to_owned()] {
        fs::write(&token, content).expect("written");
        symlink(&token, &digest).expect("linked");
        owner.assert_refused("model_a.onnx.sha256 is a symlink that leads out of the checkpoint's folder");
        fs::remove_file(&digest).expect("removed");
    }
    owner.write("model_a.onnx.sha256", TOKEN, 0);
    let wrong = owner.refusal().expect("another digest").detail;
    assert!(wrong.ends_with("model_a.onnx.sha256 says another") && !wrong.contains(TOKEN), "{wrong}");
    owner.write("model_a.onnx.sha256", "secret", 0);
    let none = owner.refusal().expect("no digest").detail;
    assert!(none.ends_with("model_a.onnx.sha256 holds no sha256 for it") && !none.contains("secret"), "{none}");
    fs::write(&digest, b"\xff\xfe").expect("written");
    let none = owner.refusal().expect("no text");
    assert!(none.detail.ends_with("model_a.onnx.sha256 holds no sha256 for it") && !none.may_pass, "{}", none.detail);
    owner.write("model_a.onnx.sha256", DIGEST, 0);
    assert_eq!(owner.request(), (Some("a"), false));
}

#[test]
fn a_digest_is_verified_where_links_within_the_folder_lead() {
    let mut owner = Owner::new();
    fs::create_dir(owner.path("..1")).expect("made");
    owner.write("..1/model_a.onnx", "a", 0);
    owner.write("..1/model_a.onnx.sha256", TOKEN, 0);
    symlink("..1", owner.path("..data")).expect("linked");
    symlink("..data/model_a.onnx", owner.path("model_a.onnx")).expect("linked");
    symlink("..data/model_a.onnx.sha256", owner.path("model_a.onnx.sha256")).expect("linked");
    assert_eq!(owner.request(), (None, true));
    owner.write("..1/model_a.onnx.sha256", DIGEST, 0);
    assert_eq!(owner.request(), (Some("a"), false));
}

#[test]
fn a_digest_that_is_no_regular_file_or_is_large_is_refused_unread() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 0);
    let digest = owner.path("model_a.onnx.sha256");
    rustix::fs::mknodat(rustix::fs::CWD, &digest, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
    owner.assert_refused("model_a.onnx.sha256: not a regular file");
    fs::remove_file(&digest).expect("removed");
    fs::create_dir(&digest).expect("made");
    owner.assert_refused("model_a.onnx.sha256: not a regular file");
    fs::remove_dir(&digest).expect("removed");
    fs::File::create(&digest).expect("made").set_len((1 << 20) + 1).expect("grown");
    owner.assert_refused("model_a.onnx.sha256: 1048577 bytes, over the limit of 1048576 for a file of digests");
}

#[test]
fn an_error_of_the_digest_may_pass_and_names_it() {
    let owner = Owner::new();
    owner.write("model_a.onnx", "a", 0);
    symlink("model_a.onnx.sha256", owner.path("model_a.onnx.sha256")).expect("linked");
    let Failure { detail, may_pass } = owner.refusal().expect("a link to itself");
    assert!(detail.starts_with("model_a.onnx.sha256: cannot be read: ") && may_pass, "{detail}");
}

#[test]
fn a_checkpoint_whose_name_leaves_no_room_for_that_of_a_sidecar_is_served() {
    for (length, extension) in [(248, "onnx"), (249, "onnx"), (255, "onnx"), (255, "zip"), (255, "pt")] {
        for is_single in [false, true] {
            let mut owner = Owner::new();
            let name = format!("model_{}.{extension}", "x".repeat(length - "model_.".len() - extension.len()));
            owner.write(&name, "a", 0);
            owner.write("policy.json", "{}", 0);
            if is_single {
                owner.source = Source::new(Some(&owner.path(&name)), None, None);
            }
            assert_eq!(owner.request(), (Some("a"), false), "{name}");
        }
    }
}

#[test]
fn a_sha256_is_computed_for_a_young_file_and_for_one_that_has_it_beside_it_and_else_when_it_is_asked_for() {
    let mut owner = Owner::new();
    let is_known = |owner: &Owner| {
        let mut found = None;
        let _ = Freshness::default().renew(&owner.source, false, |content| {
            found = Some(content.known_sha256().is_some());
            assert_eq!((content.sha256(), content.known_sha256()), (DIGEST, Some(DIGEST)));
            Ok(())
        });
        found.expect("it is loaded")
    };
    owner.write("model_a.onnx", "a", 0);
    assert!(!is_known(&owner));
    owner.write("model_a.onnx.sha256", DIGEST, 0);
    assert!(is_known(&owner));
    fs::remove_file(owner.path("model_a.onnx.sha256")).expect("removed");
    owner.source.limits.settle = Duration::from_secs(1 << 40);
    assert!(is_known(&owner));
}
