//! The file beside a checkpoint that holds its sha256.

use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::own_folder::OwnFolder;
use super::sidecar_names::with_suffix;
use crate::watch::FileReader;

/// The name of a file that holds the output of `sha256sum` ends with this, after the checkpoint's whole name.
pub(super) const DIGEST_SUFFIX: &str = ".sha256";

const MAX_DIGEST_BYTES: u64 = 1 << 20;

/// Returns the path of the file that holds a checkpoint's sha256.
pub(super) fn digest_path(checkpoint: &Path) -> PathBuf {
    with_suffix(checkpoint.as_os_str(), DIGEST_SUFFIX).into()
}

/// Compares a checkpoint's sha256 with the one in the file beside it, if that file exists.
pub(super) fn verify<'a>(
    checkpoint: &Path,
    sha256: impl FnOnce() -> &'a str,
    folder: &OwnFolder,
    reader: FileReader,
) -> Result<(), CheckpointError> {
    let path = digest_path(checkpoint);
    let reader = FileReader { max_bytes: MAX_DIGEST_BYTES, noun: "file of digests", ..reader };
    let Some((sums, _)) = folder.read(&path, reader)? else { return Ok(()) };
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    let sha256 = sha256();
    match find(&String::from_utf8_lossy(&sums), &name) {
        Some(expected) if expected.eq_ignore_ascii_case(sha256) => Ok(()),
        // Its content is not repeated: a token may have the form of a digest.
        Some(_) => Err(CheckpointError::WrongDigest { found: sha256.to_owned(), sidecar: path }),
        None => Err(CheckpointError::NoDigest(path)),
    }
}

/// Finds the digest of `name` in the output of sha256sum, which has lines of `DIGEST  NAME` or `DIGEST *NAME`. A digest
/// without a name is for any file.
fn find<'a>(sums: &'a str, name: &str) -> Option<&'a str> {
    sums.lines().map(str::trim).find_map(|line| {
        let (digest, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let named = rest.trim_start().trim_start_matches('*');
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_for_name = named.is_empty() || named.rsplit('/').next() == Some(name);
        (is_digest && is_for_name).then_some(digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_by_the_name_beside_it() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let sums = format!("{a}  model_1.onnx\n{b} *out/model_2.onnx\n");
        assert_eq!(find(&sums, "model_1.onnx"), Some(a.as_str()));
        assert_eq!(find(&sums, "model_2.onnx"), Some(b.as_str()));
        assert_eq!(find(&sums, "model_3.onnx"), None);
        assert_eq!(find(&a, "anything"), Some(a.as_str()));
        assert_eq!(find("not a digest", "anything"), None);
    }
}
