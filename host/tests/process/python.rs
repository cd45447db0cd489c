//! The Python package, by its own tests against this program.

use std::process::{Command, Output};

use crate::program::{PROGRAM, cache};

#[test]
fn the_python_package_passes_its_tests_against_this_program() {
    let python = std::env::var("SAC_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !can_import(&python, "numpy, pytest") {
        println!("{python} lacks numpy or pytest: the Python package is not tested");
        assert!(std::env::var_os("CI").is_none(), "CI has them");
        return;
    }
    let mut pytest = Command::new(&python);
    // Nothing is written beside the sources. `-rs` says what is skipped, and how to have it.
    pytest.args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]).env("PYTHONDONTWRITEBYTECODE", "1");
    pytest
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("SAC_SERVING", PROGRAM)
        .env("SAC_CACHE_DIR", cache());
    let Output { status, stdout, stderr } = pytest.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    println!("{out}");
    assert!(status.success(), "{out}{err}");
}

fn can_import(python: &str, modules: &str) -> bool {
    let import = format!("import {modules}");
    Command::new(python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
}
