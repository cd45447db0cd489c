//! Writes the files of `card` and `convert`.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::platform::let_others_read;

/// The path that stands for stdout.
pub const STDOUT: &str = "-";

/// Fails if a file exists that is not to be replaced, before the component is compiled. The write itself replaces none either.
pub fn check_output(path: &Path, replace: bool) -> Result<()> {
    let is_free = replace || path == Path::new(STDOUT) || path.symlink_metadata().is_err();
    ensure!(is_free, "{} exists; --force replaces it", path.display());
    Ok(())
}

/// Writes to stdout if the path is `-`, and otherwise as [`write_whole`] does.
pub fn write_output(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    match path == Path::new(STDOUT) {
        true => Ok(std::io::stdout().lock().write_all(bytes)?),
        false => write_whole(path, bytes, replace),
    }
}

/// Writes a file by a rename, so that readers never see a part of it. An existing file is replaced if `replace` is `true`,
/// and otherwise an error.
fn write_whole(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".sac-serving-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    // A temporary file is private to its user, and this one is not meant to be.
    let_others_read(file.path())?;
    if replace {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    Ok(())
}
