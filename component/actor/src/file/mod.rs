//! The formats of checkpoint files. Which one a file is, its content tells and not its name.

mod archive;
pub mod contents;
mod flatten;
mod numpy;
mod pickle;
mod safetensors;
mod sb3;
pub mod tensor;
mod torch;
mod vecnormalize;

use anyhow::{Context, Result, bail, ensure};
use archive::Archive;
use bytes::Bytes;

use crate::file::contents::Contents;
use crate::layout::STABLE_BASELINES;

/// A file as its owner hands it over.
pub struct File {
    pub bytes: Bytes,
    /// The VecNormalize statistics that stand beside a model of Stable-Baselines3.
    pub vecnormalize: Option<Bytes>,
}

/// What a file turned out to be.
pub enum Read {
    /// Tensors by name, and the settings beside them.
    Tensors { format: &'static str, contents: Contents },
    /// A graph, or what should be one: `crate::onnx` tells.
    Onnx,
}

/// The format whose program is not read.
pub const TORCHSCRIPT: &str = "torchscript";

const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// Tells the format and reads the file.
pub fn read(file: &File) -> Result<Read> {
    let bytes = &file.bytes;
    ensure!(!bytes.is_empty(), "the file is empty, a checkpoint is expected");
    let (format, mut contents) = if bytes.starts_with(ZIP_MAGIC) {
        read_zip(bytes)?
    } else if bytes.starts_with(torch::LEGACY_MAGIC) {
        ("torch-legacy", torch::read_legacy(bytes)?)
    } else if safetensors::is_safetensors(bytes) {
        ("safetensors", safetensors::read(bytes)?)
    } else if bytes.starts_with(b"\x80") {
        bail!("a pickle that torch.save did not write: save the state_dict by torch.save");
    } else {
        ensure!(file.vecnormalize.is_none(), "an ONNX model takes no VecNormalize file: give it obs_mean and obs_var");
        return Ok(Read::Onnx);
    };
    if let Some(statistics) = &file.vecnormalize {
        vecnormalize::add(statistics, &mut contents).context("the VecNormalize file beside it")?;
    }
    Ok(Read::Tensors { format, contents })
}

fn read_zip(bytes: &Bytes) -> Result<(&'static str, Contents)> {
    let archive = Archive::open(bytes)?;
    if sb3::is_model(&archive) {
        return Ok((STABLE_BASELINES, sb3::read_model(&archive)?));
    }
    let Some(folder) = torch::folder(&archive) else {
        let names = archive.names().take(8).collect::<Vec<_>>().join(", ");
        bail!("a zip archive of neither torch.save nor Stable-Baselines3: it holds {names}");
    };
    if !torch::is_script(&archive, &folder) {
        return Ok(("torch", torch::read_archive(&archive, &folder)?));
    }
    let contents = torch::read_archive(&archive, &folder)
        .context("a TorchScript archive whose parameters cannot be read: save the state_dict, or export it to ONNX")?;
    Ok((TORCHSCRIPT, contents))
}
