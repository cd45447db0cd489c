//! The rules by which a folder and its files are private. Some tests need root, because only root can give files to others.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use tempfile::TempDir;

use super::*;

const STRANGER: u32 = 54_332;

/// Makes a folder `above/cache` with these modes.
fn scene(above: u32, cache: u32) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(root.path().join("above/cache")).expect("made");
    for (path, mode) in [("above/cache", cache), ("above", above)] {
        fs::set_permissions(root.path().join(path), Permissions::from_mode(mode)).expect("set");
    }
    root
}

fn open(root: &TempDir) -> Result<PrivateFolder, String> {
    PrivateFolder::open(&root.path().join("above/cache")).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_folder_that_others_can_write_or_replace_is_refused() {
    for (above, cache, reason) in [
        (0o755, 0o700, None),
        (0o700, 0o755, None),
        (0o1777, 0o700, None),
        (0o777, 0o700, Some("above (mode 777), and replace what is in it")),
        (0o757, 0o700, Some("above (mode 757), and replace what is in it")),
        (0o755, 0o777, Some("above/cache (mode 777)")),
        (0o755, 0o1777, Some("above/cache (mode 1777)")),
        (0o755, 0o722, Some("above/cache (mode 722)")),
    ] {
        let opened = open(&scene(above, cache)).err();
        let is_expected = match (reason, &opened) {
            (None, None) => true,
            (Some(reason), Some(error)) => error.starts_with("others can write ") && error.contains(reason),
            _ => false,
        };
        assert!(is_expected, "{above:o} {cache:o}: {opened:?}");
    }
}

#[test]
fn a_folder_of_another_user_or_in_one_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let root = scene(0o755, 0o700);
    chown(root.path().join("above"), Some(STRANGER), None).expect("given away");
    let error = open(&root).err().expect("an error");
    assert!(error.contains("above belongs to user 54332, who can replace what is in it"), "{error}");
    chown(root.path().join("above"), None, Some(STRANGER)).expect("given away");
    open(&scene(0o775, 0o775)).map(drop).expect("a group of one can write it");
    for (above, cache, shared, reason) in
        [(0o775, 0o700, "above", "above (mode 775)"), (0o755, 0o775, "above/cache", "above/cache (mode 775)")]
    {
        let root = scene(above, cache);
        chown(root.path().join(shared), None, Some(STRANGER)).expect("given away");
        let error = open(&root).err().expect("its group can write");
        assert!(error.contains(reason), "{error}");
    }
    let root = scene(0o755, 0o700);
    chown(root.path().join("above/cache"), Some(STRANGER), None).expect("given away");
    let error = open(&root).err().expect("an error");
    assert!(error.ends_with("above/cache belongs to user 54332, not to 0"), "{error}");
}

#[test]
fn a_folder_is_created_for_this_user_alone_and_no_symlink_is_one() {
    let root = tempfile::tempdir().expect("a temporary folder");
    PrivateFolder::open(&root.path().join("a/b")).expect("created");
    let mode = fs::metadata(root.path().join("a")).expect("made").permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    symlink("a", root.path().join("link")).expect("linked");
    let error = PrivateFolder::open(&root.path().join("link")).err().expect("an error").to_string();
    assert!(error.ends_with("link is a symlink"), "{error}");
    PrivateFolder::open(&root.path().join("link/b")).expect("a symlink above it");
}

#[test]
fn only_a_regular_file_of_this_user_is_opened_whatever_its_other_names_and_nothing_waits() {
    let root = scene(0o755, 0o700);
    let folder = open(&root).expect("private");
    let path = root.path().join("above/cache/file");
    let error = || format!("{:#}", folder.file("file").expect_err("refused"));
    assert!(folder.file("file").expect("no error").is_none());
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    assert!(error().ends_with("file is not a regular file"), "{}", error());
    fs::remove_file(&path).expect("removed");
    symlink("/dev/zero", &path).expect("linked");
    assert!(error().ends_with("file is a symlink"), "{}", error());
    fs::remove_file(&path).expect("removed");
    fs::write(&path, "x").expect("written");
    let other = root.path().join("other");
    fs::hard_link(&path, &other).expect("linked");
    assert!(folder.file("file").expect("no error").is_some());
    fs::set_permissions(&other, Permissions::from_mode(0o602)).expect("set");
    assert!(error().ends_with("file (mode 602)"), "{}", error());
    if geteuid().is_root() {
        fs::set_permissions(&other, Permissions::from_mode(0o660)).expect("set");
        assert!(folder.file("file").expect("no error").is_some(), "a group of one can write it");
        chown(&other, None, Some(STRANGER)).expect("given away");
        assert!(error().ends_with("file (mode 660)"), "{}", error());
        chown(&other, Some(STRANGER), None).expect("given away");
        assert!(error().contains("file belongs to user 54332"), "{}", error());
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let root = scene(0o755, 0o700);
    let folder = open(&root).expect("private");
    for content in ["one", "two"] {
        folder.write("file", content.as_bytes()).expect("written");
        let mut found = String::new();
        folder.file("file").expect("opened").expect("there").read_to_string(&mut found).expect("read");
        assert_eq!(found, content);
    }
    fs::create_dir(root.path().join("above/cache/taken")).expect("made");
    let error = format!("{:#}", folder.write("taken", b"three").expect_err("it is a folder"));
    assert!(error.contains("taken cannot be written: "), "{error}");
    let mut names =
        fs::read_dir(root.path().join("above/cache")).expect("listed").map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| name == "file" || name == "taken"), "a temporary file is left");
}

#[test]
fn what_is_put_in_the_folders_place_is_not_used() {
    let root = scene(0o755, 0o700);
    let folder = open(&root).expect("private");
    folder.write("file", b"own").expect("written");
    fs::rename(root.path().join("above/cache"), root.path().join("above/moved")).expect("moved");
    fs::create_dir(root.path().join("above/cache")).expect("made");
    fs::write(root.path().join("above/cache/file"), "another's").expect("written");
    let mut found = String::new();
    folder.file("file").expect("opened").expect("there").read_to_string(&mut found).expect("read");
    assert_eq!(found, "own");
}
