//! The formats of checkpoint files: from bytes to named tensors and settings. The content of a file decides its format,
//! not its name. Nothing here knows which tensors are the actor, and nothing is executed.

mod archive;
mod contents;
mod dtype;
mod exported;
mod flatten;
mod foreign;
mod last_observation;
mod mushroom;
mod names;
mod numpy;
mod pickle;
mod plain;
mod rebuild;
mod safetensors;
mod sb3;
mod script;
mod storage;
mod tensor;
#[cfg(test)]
mod tests;
mod torch;
mod vecnormalize;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
pub use contents::{Contents, Leaf};
pub use dtype::Dtype;
pub use exported::{Exported, Node as ExportedNode, size as exported_size};
pub use script::{Object, ObjectId, Objects, Script};
pub use tensor::Tensor;

use crate::model::Format;
use archive::Archive;

/// The content of a file.
pub enum Decoded {
    /// Tensors and settings by name.
    Tensors { format: Format, contents: Contents },
    /// A program with its parameters.
    Program(Program),
    /// None of the other formats, so an ONNX graph if anything; `crate::onnx` decodes it.
    Onnx,
}

/// A program that PyTorch wrote, with what it reads. `crate::program` translates it.
pub enum Program {
    /// An archive of `torch.jit.save`.
    Script(Script),
    /// An archive of `torch.export.save`.
    Exported(Exported),
}

impl Program {
    /// Returns the format of the file.
    pub fn format(&self) -> Format {
        match self {
            Program::Script(_) => Format::TorchScript,
            Program::Exported(_) => Format::TorchExport,
        }
    }
}

const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// Decodes a file.
///
/// # Errors
///
/// Fails if the file is damaged, or if its format is known and not served.
pub fn decode(bytes: &Bytes) -> Result<Decoded> {
    ensure!(!bytes.is_empty(), "the file is empty: a checkpoint is expected");
    let (format, contents) = if bytes.starts_with(ZIP_MAGIC) {
        return decode_zip(bytes);
    } else if bytes.starts_with(torch::LEGACY_MAGIC) {
        (Format::TorchLegacy, torch::read_legacy(bytes)?)
    } else if safetensors::is_safetensors(bytes) {
        (Format::Safetensors, safetensors::read(bytes)?)
    } else if plain::is_pickle(bytes) {
        (Format::Pickle, plain::read_pickle(bytes)?)
    } else if let Some(refusal) = foreign::refusal(bytes) {
        bail!(refusal);
    } else {
        return Ok(Decoded::Onnx);
    };
    Ok(Decoded::Tensors { format, contents })
}

/// Adds the VecNormalize statistics of a file to what another file contains.
///
/// # Errors
///
/// Fails if they are damaged, or are not those of one policy's states.
pub fn add_statistics(name: &str, statistics: &[u8], contents: &mut Contents) -> Result<()> {
    vecnormalize::add(name, statistics, contents).with_context(|| format!("the VecNormalize file beside it, `{name}`"))
}

fn decode_zip(bytes: &Bytes) -> Result<Decoded> {
    let archive = Archive::open(bytes)?;
    if sb3::is_model(&archive) {
        let contents = sb3::read_model(&archive)?;
        return Ok(Decoded::Tensors { format: Format::StableBaselines3, contents });
    }
    if let Some(folder) = exported::folder(&archive) {
        let exported = exported::read(&archive, &folder).context("an archive of torch.export.save")?;
        return Ok(Decoded::Program(Program::Exported(exported)));
    }
    if mushroom::is_agent(&archive) {
        let contents = mushroom::read_agent(&archive)?;
        return Ok(Decoded::Tensors { format: Format::MushroomRl, contents });
    }
    let Some(folder) = torch::folder(&archive) else {
        if let Some(refusal) = foreign::archive_refusal(&archive) {
            bail!(refusal);
        }
        let names = archive.names().take(8).collect::<Vec<_>>().join(", ");
        bail!("the zip archive is of neither torch.save nor Stable-Baselines3: it holds {names}");
    };
    if script::is_script(&archive, &folder) {
        let script = script::read(&archive, &folder).context("a TorchScript archive")?;
        return Ok(Decoded::Program(Program::Script(script)));
    }
    Ok(Decoded::Tensors { format: Format::Torch, contents: torch::read_archive(&archive, &folder)? })
}
