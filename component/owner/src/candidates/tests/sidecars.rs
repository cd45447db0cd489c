//! Sidecars: which are read with a checkpoint, which outrank others, and that each change of them is a change of it.

use std::os::unix::fs::symlink;

use super::*;
use crate::settings::MAX_CARD_BYTES;

impl Owner {
    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    /// Reads the newest candidate. Returns the kinds, names and texts of its sidecars, or the reason of a refusal.
    fn sidecars(&self) -> Result<Vec<(SidecarKind, String, String)>, String> {
        let candidate = self.source.candidates().expect("listed").remove(0);
        let content = self.source.read(&candidate).map_err(|error| error.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ok(content.sidecars.into_iter().map(|sidecar| (sidecar.kind, sidecar.name, text(sidecar.bytes))).collect())
    }

    fn names(&self) -> Vec<String> {
        self.sidecars().expect("read").into_iter().map(|(_, name, _)| name).collect()
    }

    /// Makes a request, and asserts that it loads, or that it does not.
    #[track_caller]
    fn assert_loads(&mut self, expected: bool, why: &str) {
        let before = self.loads;
        self.request();
        assert_eq!(self.loads > before, expected, "{why}");
    }
}

/// A change of this sidecar is a change of the checkpoint.
fn assert_watched(owner: &mut Owner, name: &str) {
    owner.request();
    owner.write(name, "one", 0);
    owner.assert_loads(true, &format!("{name} appears"));
    owner.assert_loads(false, &format!("{name} is the same"));
    owner.write("next.tmp", "two", 0);
    fs::rename(owner.path("next.tmp"), owner.path(name)).expect("renamed");
    owner.assert_loads(true, &format!("{name} is replaced"));
    owner.write(name, "three", 0);
    owner.assert_loads(true, &format!("{name} is rewritten"));
    owner.remove(name);
    owner.assert_loads(true, &format!("{name} disappears"));
    owner.assert_loads(false, &format!("{name} is gone"));
}

#[test]
fn each_sidecar_is_a_part_of_its_checkpoints_identity() {
    let cases = [
        ("model_a.pt", "model_a.pt.policy.json"),
        ("model_a.pt", "policy.json"),
        ("model_a.onnx", "policy.json"),
        ("model_a.ZIP", "model_a.ZIP.vecnormalize.pkl"),
        ("model_a.zip", "vecnormalize.pkl"),
        ("model_a.pth", "vec_normalize.pkl"),
        ("model_a.safetensors", "vecnormalize.pkl"),
        ("model_a.onnx", "model_a.onnx.vecnormalize.pkl"),
        ("model_a.zip", "model_a/vecnormalize.pkl"),
        ("model_10_steps.zip", "model_vecnormalize_10_steps.pkl"),
        ("model_a.onnx", "model_a.onnx.data"),
        ("model_a.Onnx", "model_a.Onnx_data"),
        ("model_a.onnx", "model_a.data"),
    ];
    for (checkpoint, sidecar) in cases {
        for is_single in [false, true] {
            let mut owner = Owner::new();
            fs::create_dir(owner.path("model_a")).expect("made");
            owner.write(checkpoint, "a", 0);
            if is_single {
                owner.source = Source::new(Some(&owner.path(checkpoint)), None, None);
                owner.source.limits.settle = Duration::ZERO;
            }
            assert_watched(&mut owner, sidecar);
        }
    }
}

#[test]
fn statistics_of_the_folder_that_are_much_newer_belong_to_another_checkpoint() {
    const HOUR: u64 = 3600;
    let mut owner = Owner::new();
    owner.write("model_1.zip", "one", 0);
    owner.write("vecnormalize.pkl", "of one", 60);
    assert_eq!(owner.request(), (Some("one"), false), "Stable-Baselines3's documentation saves them after the model");
    owner.write("vecnormalize.pkl", "of two", HOUR);
    assert_eq!(owner.request(), (Some("one"), true));
    let error = owner.sidecars().expect_err("refused");
    assert!(error.starts_with("vecnormalize.pkl was written long after it"), "{error}");
    assert!(error.contains("model_1.zip.vecnormalize.pkl, or give them by --vecnormalize"), "{error}");
    owner.write("model_2.zip", "two", HOUR + 60);
    assert_eq!(owner.request(), (Some("two"), false));
    owner.remove("model_2.zip");
    assert_eq!(owner.request(), (Some("two"), true), "a rollback does not take the statistics of the other");
    owner.write("model_1.zip.vecnormalize.pkl", "of one", HOUR);
    assert_eq!(owner.request(), (Some("one"), false));
}

#[test]
fn what_is_beside_other_checkpoints_does_not_matter() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 0);
    owner.request();
    for name in ["model_b.onnx.vecnormalize.pkl", "model_b.onnx.policy.json", "model_b.onnx.data", "notes.txt"] {
        owner.write(name, "x", 0);
        owner.assert_loads(false, name);
    }
    assert!(owner.names().is_empty());
}

#[test]
fn all_sidecars_travel_as_one_list_with_names_relative_to_the_folder() {
    let owner = Owner::new();
    owner.write("model_a.zip", "a", 0);
    owner.write("model_a.zip.policy.json", "own", 0);
    owner.write("policy.json", "folder's", 0);
    fs::create_dir(owner.path("model_a")).expect("made");
    owner.write("model_a/vecnormalize.pkl", "mean", 0);
    let expected = [
        (SidecarKind::Card, "model_a.zip.policy.json", "own"),
        (SidecarKind::FolderCard, "policy.json", "folder's"),
        (SidecarKind::Vecnormalize, "model_a/vecnormalize.pkl", "mean"),
    ];
    let expected = expected.map(|(kind, name, text)| (kind, name.to_owned(), text.to_owned()));
    assert_eq!(owner.sidecars().expect("read"), expected);
    owner.write("model_b.onnx", "b", 1);
    owner.write("model_b.onnx.data", "weights", 0);
    owner.write("model_b.data", "more", 0);
    assert_eq!(owner.names(), ["policy.json", "model_b.onnx.data", "model_b.data"]);
}

#[test]
fn two_files_of_statistics_are_refused_by_their_names_until_one_is_chosen() {
    let mut owner = Owner::new();
    owner.write("model_a.zip", "a", 0);
    owner.write("vecnormalize.pkl", "secret", 0);
    fs::create_dir(owner.path("model_a")).expect("made");
    owner.write("model_a/vecnormalize.pkl", "secret", 0);
    assert_eq!(owner.request(), (None, true));
    let error = owner.sidecars().expect_err("two");
    let parts = ["vecnormalize.pkl and model_a/vecnormalize.pkl", "--vecnormalize FILE (SAC_VECNORMALIZE)"];
    assert!(parts.iter().all(|part| error.contains(part)) && !error.contains("secret"), "{error}");
    assert!(error.ends_with("model_a.zip.vecnormalize.pkl"), "{error}");
    owner.write("model_a.zip.vecnormalize.pkl", "own", 0);
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.names(), ["model_a.zip.vecnormalize.pkl"]);
    owner.remove("model_a.zip.vecnormalize.pkl");
    assert_eq!(owner.request(), (Some("a"), true));
    owner.remove("vecnormalize.pkl");
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.names(), ["model_a/vecnormalize.pkl"]);
}

/// A training saves `vecnormalize.pkl` at its end, beside those of `CheckpointCallback`.
#[test]
fn the_callbacks_statistics_of_a_checkpoint_outrank_those_of_the_folder() {
    let mut owner = Owner::new();
    owner.write("model_10_steps.zip", "a", 0);
    owner.write("model_vecnormalize_10_steps.pkl", "its", 0);
    owner.write("vecnormalize.pkl", "of the end", 0);
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.names(), ["model_vecnormalize_10_steps.pkl"]);
}

/// `CheckpointCallback` writes the model, then the replay buffer, and then the statistics.
#[test]
fn a_checkpoint_of_the_callback_waits_for_its_statistics_if_others_of_its_name_have_some() {
    let mut owner = Owner::new();
    owner.write("model_10_steps.zip", "ten", 0);
    owner.write("model_vecnormalize_10_steps.pkl", "of ten", 0);
    assert_eq!(owner.request(), (Some("ten"), false));
    owner.write("model_20_steps.zip", "twenty", 1);
    assert_eq!(owner.request(), (Some("ten"), true));
    let error = owner.sidecars().expect_err("its statistics are missing");
    assert!(error.starts_with("model_vecnormalize_20_steps.pkl is missing"), "{error}");
    assert!(error.ends_with("into model_20_steps.zip.policy.json"), "{error}");
    owner.write("model_vecnormalize_20_steps.pkl", "of twenty", 1);
    assert_eq!(owner.request(), (Some("twenty"), false));
    owner.write("other_30_steps.zip", "another training", 2);
    owner.write("model_30_steps.zip", "thirty", 3);
    owner.write("model_30_steps.zip.policy.json", r#"{"normalisation": "none"}"#, 3);
    assert_eq!(owner.request(), (Some("thirty"), false), "a card decides");
}

#[test]
fn the_statistics_that_the_operator_names_outrank_all_and_may_be_anywhere() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let named = elsewhere.path().join("run.pkl");
    let mut owner = Owner::new();
    owner.source = owner.source.clone().with_vecnormalize(Some(&named), None);
    owner.write("model_a.zip", "a", 0);
    owner.write("model_a.zip.vecnormalize.pkl", "own", 0);
    owner.write("vecnormalize.pkl", "folder's", 0);
    owner.write("vec_normalize.pkl", "folder's", 0);
    assert_eq!(owner.request(), (None, true));
    assert!(owner.sidecars().expect_err("missing").starts_with(&format!("{}: cannot be read: ", named.display())));
    fs::write(&named, "mean").expect("written");
    assert_eq!(owner.request(), (Some("a"), false));
    let path = named.display().to_string();
    assert_eq!(owner.sidecars().expect("read"), [(SidecarKind::Vecnormalize, path, "mean".to_owned())]);
    fs::write(&named, "another mean").expect("written");
    owner.assert_loads(true, "it changes");
    fs::remove_file(&named).expect("removed");
    assert_eq!(owner.request(), (Some("a"), true));
    owner.write("model_b.onnx", "b", 1);
    assert_eq!(owner.request(), (Some("a"), true), "a file of any format may need them");
    let home = Source::new(None, None, None).with_vecnormalize(Some(Path::new("~/v.pkl")), Some(Path::new("/home")));
    assert_eq!(home.vecnormalize.as_deref(), Some(Path::new("/home/v.pkl")));
}

#[test]
fn a_symlink_is_followed_within_the_folder_alone() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    fs::write(elsewhere.path().join("secret"), "secret").expect("written");
    let mut owner = Owner::new();
    owner.write("model_a.pt", "a", 0);
    symlink(elsewhere.path().join("secret"), owner.path("policy.json")).expect("linked");
    assert_eq!(owner.request(), (None, true));
    let error = owner.sidecars().expect_err("it leads out");
    assert_eq!(error, "policy.json is a symlink that leads out of the checkpoint's folder");
    owner.remove("policy.json");
    assert_eq!(owner.request(), (Some("a"), false));
    symlink("later.json", owner.path("policy.json")).expect("linked");
    owner.request();
    owner.write("later.json", "card", 0);
    owner.request();
    assert_eq!(owner.names(), ["policy.json"]);
    // A checkpoint that is a symlink may have sidecars where it leads to.
    fs::write(elsewhere.path().join("model"), "b").expect("written");
    symlink(elsewhere.path().join("model"), owner.path("model_b.pt")).expect("linked");
    symlink(elsewhere.path().join("secret"), owner.path("model_b.pt.policy.json")).expect("linked");
    owner.write("model_a.pt", "a", 0);
    let candidates = owner.source.candidates().expect("listed");
    let linked = candidates.iter().find(|c| c.state.path.ends_with("model_b.pt")).expect("listed");
    assert_eq!(owner.source.read(linked).expect("read").sidecars.len(), 2);
}

#[test]
fn a_config_map_is_swapped_by_its_link() {
    let mut owner = Owner::new();
    for (version, text) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(owner.path(version)).expect("made");
        owner.write(&format!("{version}/model_a.pt"), text, 0);
        owner.write(&format!("{version}/policy.json"), text, 0);
    }
    symlink("..1", owner.path("..data")).expect("linked");
    symlink("..data/model_a.pt", owner.path("model_a.pt")).expect("linked");
    symlink("..data/policy.json", owner.path("policy.json")).expect("linked");
    assert_eq!(owner.request(), (Some("one"), false));
    symlink("..2", owner.path("..next")).expect("linked");
    fs::rename(owner.path("..next"), owner.path("..data")).expect("swapped");
    assert_eq!(owner.request(), (Some("two"), false));
    assert_eq!(owner.sidecars().expect("read")[0].2, "two");
}

#[test]
fn sidecars_that_are_large_or_no_files_are_refused_unread() {
    let mut owner = Owner::new();
    owner.write("model_a.onnx", "a", 0);
    owner.source.limits.max_bytes = 10;
    owner.write("model_a.onnx.data", "123456789", 0);
    assert_eq!(owner.names(), ["model_a.onnx.data"], "a byte and nine are ten");
    owner.write("model_a.data", "1", 0);
    let error = owner.sidecars().expect_err("eleven bytes");
    assert_eq!(
        error,
        "with model_a.data it has 11 bytes, over the limit of 10 for a checkpoint and the files beside it: \
         --max-checkpoint-bytes (SAC_MAX_CHECKPOINT_BYTES) raises it"
    );
    owner.remove("model_a.data");
    let card = fs::File::create(owner.path("policy.json")).expect("made");
    card.set_len(MAX_CARD_BYTES).expect("grown");
    assert_eq!(owner.names().len(), 2, "a card counts by itself");
    card.set_len(MAX_CARD_BYTES + 1).expect("grown");
    assert_eq!(owner.request(), (None, true));
    let error = owner.sidecars().expect_err("a byte more");
    assert_eq!(error, "policy.json: 1048577 bytes, over the limit of 1048576 for a card");
    owner.remove("policy.json");
    let fifo = owner.path("policy.json");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
    assert_eq!(owner.sidecars().expect_err("a FIFO"), "policy.json: not a regular file");
    owner.remove("policy.json");
    fs::create_dir(owner.path("policy.json")).expect("made");
    assert_eq!(owner.sidecars().expect_err("a folder"), "policy.json: not a regular file");
}
