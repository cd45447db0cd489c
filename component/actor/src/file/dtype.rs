//! The types of tensors' elements, and how their bytes become numbers.

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Dtype {
    /// Returns the size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    }

    /// Reads the number at the start of `bytes`, which are little-endian and at least as many as its size.
    pub fn number(self, bytes: &[u8]) -> f64 {
        match self {
            Dtype::F64 => f64::from_le_bytes(first(bytes)),
            Dtype::F32 => f32::from_le_bytes(first(bytes)).into(),
            Dtype::F16 => f16::from_le_bytes(first(bytes)).into(),
            Dtype::Bf16 => bf16::from_le_bytes(first(bytes)).into(),
            Dtype::I64 => i64::from_le_bytes(first(bytes)) as f64,
            Dtype::I32 => i32::from_le_bytes(first(bytes)).into(),
            Dtype::I16 => i16::from_le_bytes(first(bytes)).into(),
            Dtype::I8 => (bytes[0] as i8).into(),
            Dtype::U8 | Dtype::Bool => bytes[0].into(),
        }
    }
}

/// Returns the first `N` bytes, of which there must be as many.
pub fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}
