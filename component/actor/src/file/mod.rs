//! The formats of checkpoint files: from bytes to named tensors and settings. The content of a file decides its format,
//! not its name. Nothing here knows which tensors are the actor, and nothing is executed.

mod archive;
mod contents;
mod dtype;
mod flatten;
mod foreign;
mod mushroom;
mod names;
mod numpy;
mod pickle;
mod plain;
mod rebuild;
mod safetensors;
mod sb3;
mod storage;
mod tensor;
#[cfg(test)]
mod tests;
mod torch;
mod vecnormalize;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
pub use contents::{Contents, Leaf};
pub use tensor::Tensor;

use crate::model::Format;
use archive::Archive;

/// The content of a file.
pub enum Decoded {
    /// Tensors and settings by name.
    Tensors { format: Format, contents: Contents },
    /// None of the other formats, so an ONNX graph if anything; `crate::onnx` decodes it.
    Onnx,
}

const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// Decodes a file, and adds the VecNormalize statistics of the file beside it.
///
/// # Errors
///
/// Fails if the file is damaged, or if its format is known and not served.
pub fn decode(bytes: &Bytes, vecnormalize: Option<&[u8]>) -> Result<Decoded> {
    ensure!(!bytes.is_empty(), "the file is empty: a checkpoint is expected");
    let (format, mut contents) = if bytes.starts_with(ZIP_MAGIC) {
        decode_zip(bytes)?
    } else if bytes.starts_with(torch::LEGACY_MAGIC) {
        (Format::TorchLegacy, torch::read_legacy(bytes)?)
    } else if safetensors::is_safetensors(bytes) {
        (Format::Safetensors, safetensors::read(bytes)?)
    } else if plain::is_pickle(bytes) {
        (Format::Pickle, plain::read_pickle(bytes)?)
    } else if let Some(refusal) = foreign::refusal(bytes) {
        bail!(refusal);
    } else {
        ensure!(vecnormalize.is_none(), "an ONNX model takes no VecNormalize file: give it obs_mean and obs_var");
        return Ok(Decoded::Onnx);
    };
    if let Some(statistics) = vecnormalize {
        vecnormalize::add(statistics, &mut contents).context("the VecNormalize file beside it")?;
    }
    Ok(Decoded::Tensors { format, contents })
}

fn decode_zip(bytes: &Bytes) -> Result<(Format, Contents)> {
    let archive = Archive::open(bytes)?;
    if sb3::is_model(&archive) {
        return Ok((Format::StableBaselines3, sb3::read_model(&archive)?));
    }
    if mushroom::is_agent(&archive) {
        return Ok((Format::MushroomRl, mushroom::read_agent(&archive)?));
    }
    let Some(folder) = torch::folder(&archive) else {
        if let Some(refusal) = foreign::archive_refusal(&archive) {
            bail!(refusal);
        }
        let names = archive.names().take(8).collect::<Vec<_>>().join(", ");
        bail!("the zip archive is of neither torch.save nor Stable-Baselines3: it holds {names}");
    };
    if !torch::is_script(&archive, &folder) {
        return Ok((Format::Torch, torch::read_archive(&archive, &folder)?));
    }
    let contents = torch::read_archive(&archive, &folder)
        .context("a TorchScript archive whose parameters cannot be read: save the state_dict, or export it to ONNX")?;
    Ok((Format::TorchScript, contents))
}
