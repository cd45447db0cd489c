//! Reads safetensors files: a JSON header, and the tensors after it.

use anyhow::{Context, Result};
use bytes::Bytes;
use safetensors::{Dtype as Stored, SafeTensors};

use super::contents::{Contents, Leaf};
use super::dtype::Dtype;
use super::tensor::Tensor;

/// Returns `true` if a file starts with a plausible length of the header and an opening brace.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= 100 << 20
}

/// Reads the tensors, and the metadata as settings.
pub fn read(bytes: &Bytes) -> Result<Contents> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).context("the file is not a whole safetensors file")?;
    let tensors = SafeTensors::deserialize(bytes).context("the file is not a whole safetensors file")?;
    let mut contents = Contents::default();
    for (key, value) in metadata.metadata().iter().flatten() {
        contents.insert_setting(key, value)?;
    }
    for (name, view) in tensors.iter() {
        let shape = view.shape().to_vec();
        let tensor = match dtype(view.dtype()) {
            Some(dtype) => Tensor::contiguous(bytes.slice_ref(view.data()), dtype, shape),
            None => {
                let reason = format!("a tensor has the type {:?}, which is not read", view.dtype());
                Ok(Tensor::unread(Some(shape), reason))
            }
        };
        contents.insert(name, Leaf::Tensor(tensor.with_context(|| format!("`{name}`"))?))?;
    }
    Ok(contents)
}

fn dtype(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::F64 => Dtype::F64,
        Stored::F32 => Dtype::F32,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::Bf16,
        Stored::I64 => Dtype::I64,
        Stored::I32 => Dtype::I32,
        Stored::I16 => Dtype::I16,
        Stored::I8 => Dtype::I8,
        Stored::U8 => Dtype::U8,
        Stored::BOOL => Dtype::Bool,
        _ => return None,
    })
}
