//! The reasons for which there is no candidate.

use super::*;

#[test]
fn a_folder_without_a_candidate_says_why() {
    let mut owner = Owner::new();
    let reason = |owner: &mut Owner| {
        owner.request();
        owner.source.absence().expect("a reason").to_string()
    };
    assert!(
        reason(&mut owner).starts_with("the folder has no checkpoint yet: it waits for a file named model_*.{onnx,")
    );
    owner.write("policy.json", "{}", 0);
    fs::create_dir(owner.path("logs")).expect("made");
    assert!(reason(&mut owner).starts_with("the folder has no checkpoint yet: "), "it has a card and a folder");
    symlink("gone", owner.path("model_a.pt")).expect("linked");
    assert!(reason(&mut owner).contains("the symlinks in the folder whose names fit lead to no file"));
    fs::remove_file(owner.path("model_a.pt")).expect("removed");
    owner.write("best.pt", "best", 0);
    owner.write(".next", "", 0);
    owner.request();
    let absence = owner.source.absence().expect("a reason");
    assert_eq!(
        absence.hint(owner.folder.path()).as_deref(),
        Some("one of its files is best.pt: serve it by --pattern best.pt, or rename it to model_best.pt")
    );
    let text = absence.to_string();
    assert!(text.starts_with("the file in the folder is not named model_*.{onnx,pt,"), "{text}");
    assert!(text.ends_with("--pattern (SAC_PATTERN) selects other names"), "{text}");
    owner.write("last.pt", "last", 0);
    owner.request();
    let text = owner.source.absence().expect("a reason").to_string();
    assert!(text.starts_with("none of the 2 files in the folder is named model_*."), "{text}");
    owner.write("model_a.pt", "a", 0);
    assert_eq!(owner.request(), (Some("a"), false));
    assert_eq!(owner.source.absence(), None);
}

#[test]
fn folders_of_checkpoints_in_a_folder_without_one_are_served_by_root() {
    let mut owner = Owner::new();
    fs::create_dir(owner.path("btc")).expect("made");
    let hint = |owner: &mut Owner| {
        owner.request();
        owner.source.absence().expect("a reason").hint(owner.folder.path())
    };
    assert_eq!(hint(&mut owner), None);
    owner.write("btc/model_1.pt", "a", 0);
    let root = format!(
        "its folder btc has candidates: serve each of its folders as a policy by --root {}",
        owner.folder.path().display()
    );
    assert_eq!(hint(&mut owner), Some(root.clone()));
    owner.write("notes.txt", "", 0);
    assert_eq!(hint(&mut owner), Some(root));
    owner.write("best.pt", "", 0);
    assert!(hint(&mut owner).expect("a hint").starts_with("one of its files is best.pt: serve it by "));
}

#[test]
fn a_place_without_candidates_says_why() {
    let owner = Owner::new();
    owner.write("file", "a file", 0);
    for (model, dir, reason) in [
        (None, Some("none"), Absence::NoFolder),
        (None, Some("none/below"), Absence::NoFolder),
        (None, Some("file"), Absence::NotFolder),
        (Some("none.pt"), None, Absence::NoFile),
        (Some("file/none.pt"), None, Absence::NoFile),
    ] {
        let [model, dir] = [model, dir].map(|name: Option<&str>| name.map(|name| owner.path(name)));
        let source = Source::new(model.as_deref(), dir.as_deref(), None);
        assert!(!Freshness::default().judge(&source).changed);
        let absence = source.absence().expect("a reason");
        assert_eq!(absence, reason);
        let text = absence.to_string();
        assert!(!text.contains(owner.folder.path().to_str().expect("UTF-8")), "it is public: {text}");
    }
    let source = Source::new(None, Some(&owner.path("file")), None);
    Freshness::default().judge(&source);
    let hint = source.absence().expect("a reason").hint(source.path());
    assert_eq!(hint, Some(format!("serve it by --model {}", owner.path("file").display())));
}
