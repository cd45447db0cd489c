//! Selection: a candidate becomes the newest, and a pinned one remains it.

use super::*;

impl Owner {
    fn newest(&self) -> (String, bool) {
        let newest = self.source.candidates().expect("listed").remove(0);
        (newest.name(), newest.is_pinned())
    }

    #[track_caller]
    fn select(&self, name: &str, pin: bool) {
        let path = self.source.select(name, pin).expect("selected");
        assert_eq!(path, self.path(name));
        assert_eq!(self.newest(), (name.to_owned(), pin));
    }
}

fn three() -> Owner {
    let owner = Owner::new();
    for (seconds, name) in ["model_1.pt", "model_2.pt", "model_3.pt"].into_iter().enumerate() {
        owner.write(name, "x", seconds as u64);
    }
    owner
}

#[test]
fn a_selected_candidate_is_the_newest_until_another_is_written() {
    let owner = three();
    owner.select("model_1.pt", false);
    // One from another machine whose clock is ahead.
    let ahead = SystemTime::now() + Duration::from_secs(60);
    File::open(owner.path("model_3.pt")).expect("opened").set_modified(ahead).expect("dated");
    owner.select("model_2.pt", false);
    fs::write(owner.path("model_4.pt"), "x").expect("written");
    File::open(owner.path("model_4.pt")).expect("opened").set_modified(ahead + Duration::from_secs(2)).expect("dated");
    assert_eq!(owner.newest(), ("model_4.pt".to_owned(), false));
}

#[test]
fn a_pinned_candidate_stays_the_newest_until_another_is_selected() {
    let owner = three();
    owner.select("model_1.pt", true);
    fs::write(owner.path("model_4.pt"), "x").expect("written");
    assert_eq!(owner.newest(), ("model_1.pt".to_owned(), true));
    owner.select("model_2.pt", true);
    owner.select("model_2.pt", true);
    owner.select("model_3.pt", false);
    let pinned = owner.source.candidates().expect("listed").iter().filter(|candidate| candidate.is_pinned()).count();
    assert_eq!(pinned, 0);
}

#[test]
fn a_file_that_appears_with_an_older_time_is_passed_over_until_it_is_touched() {
    let mut owner = three();
    assert_eq!(owner.request().0, Some("x"));
    assert_eq!(owner.source.passed_over(), None);
    owner.write("model_4.pt", "older", 1);
    assert_eq!(owner.request().0, Some("x"));
    assert_eq!(owner.source.passed_over().as_deref(), Some(&owner.path("model_4.pt")));
    // Later looks find nothing new, and the file is still there.
    owner.write("model_5.pt", "newer", 10);
    assert_eq!(owner.request().0, Some("newer"));
    assert_eq!(owner.source.passed_over().as_deref(), Some(&owner.path("model_4.pt")));
    owner.write("model_4.pt", "touched", 20);
    assert_eq!(owner.request().0, Some("touched"));
    owner.write("model_6.pt", "newest", 30);
    assert_eq!(owner.request().0, Some("newest"));
    assert_eq!(owner.source.passed_over(), None);
    // All others are older than a pinned file, and a touch does not help.
    owner.select("model_6.pt", true);
    assert_eq!(owner.request().0, Some("newest"));
    owner.write("model_7.pt", "latest", 40);
    assert_eq!(owner.request().0, Some("newest"));
    assert_eq!(owner.source.passed_over(), None);
}

#[test]
fn only_a_candidate_of_the_folder_is_selected() {
    let owner = three();
    owner.write("notes.txt", "x", 0);
    for name in ["model_9.pt", "notes.txt", "../model_1.pt", ""] {
        assert!(matches!(owner.source.select(name, true), Err(SelectionError::None(_))), "{name}");
    }
    let file = owner.source.of_file(&owner.path("model_1.pt"));
    assert!(matches!(file.select("model_1.pt", true), Err(SelectionError::OneFile)));
    assert_eq!(owner.newest(), ("model_3.pt".to_owned(), false));
}
