//! Promotion: a checkpoint moves into another folder as the policy that it was, or not at all.

use std::os::unix::fs::symlink;

use super::*;

/// A folder with another below it, from which checkpoints are promoted.
struct Pair {
    to: Owner,
    from: Source,
}

impl Pair {
    fn new() -> Self {
        let to = Owner::new();
        fs::create_dir(to.path("shadow")).expect("made");
        let from = to.source.of_folder(&to.path("shadow"));
        Pair { to, from }
    }

    fn write(&self, name: &str, text: &str) {
        self.to.write(name, text, 0);
    }

    /// Reads the newest candidate below.
    fn content(&self) -> Content {
        let candidate = self.from.candidates().expect("listed").remove(0);
        self.from.read(&candidate).expect("read")
    }

    fn promote(&self) -> Result<PathBuf, String> {
        self.content().promote(&self.from, &self.to.source).map_err(|error| error.to_string())
    }

    /// Promotes, and asserts that nothing moved.
    #[track_caller]
    fn assert_refused(&self, reason: &str) {
        let before = files(self.to.folder.path());
        let refused = self.promote().expect_err("refused");
        assert!(refused.contains(reason), "{refused}");
        assert_eq!(files(self.to.folder.path()), before);
    }
}

/// Lists the names and the contents of all files.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).expect("read"))),
        }
    }
    found.sort();
    found
}

#[test]
fn a_promoted_checkpoint_serves_with_its_own_sidecars() {
    for (name, sidecar) in [
        ("model_a.pt", "model_a.pt.policy.json"),
        ("model_a.zip", "model_a.zip.vecnormalize.pkl"),
        ("model_10_steps.zip", "model_vecnormalize_10_steps.pkl"),
        ("model_a.zip", "model_a/vecnormalize.pkl"),
        ("model_a.onnx", "model_a.onnx.data"),
    ] {
        let mut pair = Pair::new();
        // Its mtime is older than that of the checkpoint in service, and that one's is in the future.
        pair.to.write("model_b.pt", "old", 3_000_000_000);
        assert_eq!(pair.to.request().0, Some("old"));
        fs::create_dir_all(pair.to.path("shadow").join(sidecar).parent().expect("a parent")).expect("made");
        pair.write(&format!("shadow/{name}"), "new");
        pair.write(&format!("shadow/{sidecar}"), "beside it");
        let before = pair.content();
        assert_eq!(before.sidecars.len(), 1, "{sidecar}");
        assert_eq!(pair.promote(), Ok(pair.to.path(name)));
        assert_eq!(pair.to.request().0, Some("new"), "{sidecar}");
        let candidate = pair.to.source.candidates().expect("listed").remove(0);
        assert_eq!(pair.to.source.read(&candidate).expect("read").digests(), before.digests(), "{sidecar}");
        assert!(pair.from.candidates().expect("listed").is_empty());
    }
}

#[test]
fn the_file_of_a_sha256_moves_too() {
    let mut pair = Pair::new();
    pair.write("shadow/model_a.pt", "new");
    pair.write("shadow/model_a.pt.sha256", &crate::watch::sha256(b"new"));
    pair.promote().expect("promoted");
    assert!(pair.to.path("model_a.pt.sha256").exists());
    assert_eq!(pair.to.request().0, Some("new"));
}

#[test]
fn a_checkpoint_that_would_be_another_policy_is_not_promoted() {
    for name in ["policy.json", "vecnormalize.pkl", "vec_normalize.pkl"] {
        for (here, there) in [(Some("one"), None), (None, Some("one")), (Some("one"), Some("two"))] {
            let pair = Pair::new();
            pair.write("shadow/model_a.zip", "new");
            for (folder, text) in [("shadow/", here), ("", there)] {
                text.into_iter().for_each(|text| pair.write(&format!("{folder}{name}"), text));
            }
            pair.assert_refused("is not the same in both");
        }
        let pair = Pair::new();
        pair.write("shadow/model_a.zip", "new");
        pair.write(&format!("shadow/{name}"), "one");
        pair.write(name, "one");
        assert!(pair.promote().is_ok(), "{name}");
    }
    // Its own statistics outrank those of the folder.
    let pair = Pair::new();
    pair.write("shadow/model_a.zip", "new");
    pair.write("shadow/model_a.zip.vecnormalize.pkl", "own");
    pair.write("vecnormalize.pkl", "one");
    assert!(pair.promote().is_ok());
}

#[test]
fn no_file_is_replaced() {
    for name in ["model_a.pt", "model_a.pt.policy.json", "model_a.pt.sha256", "model_a.pt.vecnormalize.pkl"] {
        let pair = Pair::new();
        pair.write("shadow/model_a.pt", "new");
        pair.write(name, "old");
        pair.assert_refused("exists in both folders");
    }
}

#[test]
fn a_checkpoint_that_changed_since_it_was_read_is_not_promoted() {
    for name in ["shadow/model_a.pt", "shadow/model_a.pt.policy.json"] {
        let pair = Pair::new();
        pair.write("shadow/model_a.pt", "new");
        pair.write("shadow/model_a.pt.policy.json", "{}");
        let content = pair.content();
        pair.to.write(name, "other", 1);
        let refused = content.promote(&pair.from, &pair.to.source).expect_err("refused").to_string();
        assert!(refused.contains("changed since it was loaded"), "{refused}");
        assert!(pair.to.path(name).exists());
    }
}

#[test]
fn neither_a_symlink_nor_a_single_file_is_promoted() {
    let pair = Pair::new();
    pair.write("elsewhere", "new");
    symlink("../elsewhere", pair.to.path("shadow/model_a.pt")).expect("linked");
    pair.assert_refused("symlink");
    let file = pair.to.source.of_file(&pair.to.path("model_a.pt"));
    assert!(pair.content().promote(&pair.from, &file).is_err());
}

#[test]
fn a_failure_in_between_moves_everything_back() {
    let pair = Pair::new();
    pair.write("shadow/model_a.zip", "new");
    pair.write("shadow/model_a.zip.policy.json", "{}");
    fs::create_dir(pair.to.path("shadow/model_a")).expect("made");
    pair.write("shadow/model_a/vecnormalize.pkl", "beside it");
    // A file where the folder of the statistics has to be.
    pair.write("model_a", "in the way");
    pair.assert_refused("cannot be moved");
}
