//! The names of the files that may stand beside a checkpoint. This module touches no file.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::digest::DIGEST_SUFFIX;

/// The card of all checkpoints of a folder.
pub(super) const FOLDER_CARD: &str = "policy.json";
/// A checkpoint's own card ends with this, after the checkpoint's whole name.
const CARD_SUFFIX: &str = ".policy.json";
/// A checkpoint's own VecNormalize statistics end with this, after the checkpoint's whole name.
const STATISTICS_SUFFIX: &str = ".vecnormalize.pkl";
/// The statistics of a folder: as rl-baselines3-zoo names them, and as the documentation of Stable-Baselines3 does.
pub(super) const FOLDER_STATISTICS: [&str; 2] = ["vecnormalize.pkl", "vec_normalize.pkl"];

/// The content of a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarKind {
    /// The card of one checkpoint.
    Card,
    /// The card of all checkpoints in the folder.
    FolderCard,
    /// VecNormalize statistics, as Stable-Baselines3 saves them.
    Vecnormalize,
    /// The external data of an ONNX model.
    ExternalData,
}

/// Returns the path of a checkpoint's own card.
pub(super) fn card(checkpoint: &Path) -> PathBuf {
    with_suffix(checkpoint.as_os_str(), CARD_SUFFIX).into()
}

/// Returns the path of a checkpoint's own statistics, which outrank all others.
pub(super) fn own_statistics(checkpoint: &Path) -> PathBuf {
    with_suffix(checkpoint.as_os_str(), STATISTICS_SUFFIX).into()
}

/// Returns the path of the statistics that Stable-Baselines3's `CheckpointCallback` writes for a checkpoint of its own:
/// `PREFIX_vecnormalize_N_steps.pkl` for `PREFIX_N_steps.zip`.
pub(super) fn callback_statistics(checkpoint: &Path) -> Option<PathBuf> {
    let (prefix, steps) = of_callback(checkpoint.file_stem()?.to_str()?)?;
    Some(checkpoint.with_file_name(format!("{prefix}_vecnormalize_{steps}_steps.pkl")))
}

/// Returns the PREFIX of a checkpoint of that callback.
pub(super) fn callback_prefix(checkpoint: &Path) -> Option<&str> {
    Some(of_callback(checkpoint.file_stem()?.to_str()?)?.0)
}

/// Returns the PREFIX that the callback's statistics of this name belong to.
pub(super) fn prefix_of_statistics(name: &OsStr) -> Option<&str> {
    of_callback(name.to_str()?.strip_suffix(".pkl")?)?.0.strip_suffix("_vecnormalize")
}

/// Splits `PREFIX_N_steps`.
fn of_callback(stem: &str) -> Option<(&str, &str)> {
    let (prefix, steps) = stem.strip_suffix("_steps")?.rsplit_once('_')?;
    is_number(steps).then_some((prefix, steps))
}

/// Returns the folder in which rl-baselines3-zoo puts the statistics of a checkpoint: `ENV` for `ENV.zip`.
pub(super) fn zoo_folder(checkpoint: &Path) -> Option<PathBuf> {
    checkpoint.file_stem().map(|stem| checkpoint.with_file_name(stem))
}

/// Returns the paths that PyTorch's exporter and others give to the external data of an ONNX checkpoint.
pub(super) fn external_data(checkpoint: &Path) -> Vec<PathBuf> {
    if !has_extension(checkpoint, "onnx") {
        return Vec::new();
    }
    let name = checkpoint.as_os_str();
    vec![with_suffix(name, ".data").into(), with_suffix(name, "_data").into(), checkpoint.with_extension("data")]
}

/// Returns `true` if a file of this name is a sidecar, whatever it belongs to. It is then no candidate.
pub(super) fn is_sidecar(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let ends = |suffix: &str| bytes.ends_with(suffix.as_bytes());
    name == FOLDER_CARD
        || FOLDER_STATISTICS.iter().any(|known| name == *known)
        || [DIGEST_SUFFIX, CARD_SUFFIX, STATISTICS_SUFFIX, ".data", ".onnx_data"].iter().any(|suffix| ends(suffix))
        || prefix_of_statistics(name).is_some()
}

/// Returns a name with a suffix after it.
pub(super) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut longer = OsString::with_capacity(name.len() + suffix.len());
    longer.push(name);
    longer.push(suffix);
    longer
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callbacks_statistics_have_the_number_of_their_checkpoint() {
        let of = |name: &str| callback_statistics(Path::new(name));
        assert_eq!(
            of("d/rl_model_1000_steps.zip").as_deref(),
            Some(Path::new("d/rl_model_vecnormalize_1000_steps.pkl"))
        );
        assert_eq!(of("rl_model_x_steps.zip"), None);
        assert_eq!(of("1000_steps.zip"), None);
        assert_eq!(of("model_1000.zip"), None);
    }

    #[test]
    fn sidecars_are_known_by_their_names() {
        let names = ["a.pt.sha256", "policy.json", "a.pt.policy.json", "a.zip.vecnormalize.pkl", "vec_normalize.pkl"];
        let data = ["a.onnx.data", "a.onnx_data", "a.data", "vecnormalize.pkl", "m_vecnormalize_10_steps.pkl"];
        assert!(names.iter().chain(&data).all(|name| is_sidecar(OsStr::new(name))));
        let others = ["a.pt", "policy.pt", "params.pkl", "m_10_steps.pkl", "model_data.pt", "vecnormalize.zip"];
        assert!(!others.iter().any(|name| is_sidecar(OsStr::new(name))));
    }

    #[test]
    fn extensions_are_compared_in_any_case() {
        let data = external_data(Path::new("d/a.ONNX"));
        assert_eq!(data, ["d/a.ONNX.data", "d/a.ONNX_data", "d/a.data"].map(PathBuf::from));
        assert!(external_data(Path::new("a.pt")).is_empty());
    }
}
