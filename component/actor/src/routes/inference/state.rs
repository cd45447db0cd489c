//! The input of the model: its states, from JSON or from a binary tensor.

use super::body::Parts;
use super::request::{Datatype, Input, Shape};
use crate::routes::error::Error;
use crate::routes::schema::finite;
use crate::routes::values::States;

/// The name of the input.
pub const STATE: &str = "state";

/// The rows of an input, as its shape says.
pub struct Rows {
    pub count: u64,
    /// True if the shape has no dimension for rows.
    pub is_single: bool,
}

impl Rows {
    /// Checks a shape.
    pub fn of(shape: &Shape, state_dim: usize) -> Result<Self, Error> {
        let expected = state_dim as u64;
        match shape.sizes() {
            Some(&[length]) if length == expected => Ok(Rows { count: 1, is_single: true }),
            Some(&[0, _]) => Err(Error::Refused("the input `state` has no rows".to_owned())),
            Some(&[count, length]) if length == expected => Ok(Rows { count, is_single: false }),
            sizes => {
                let found = sizes.map_or("one of more dimensions".to_owned(), |sizes| format!("{sizes:?}"));
                Err(Error::Refused(format!("the shape of `state` is [rows, {expected}] or [{expected}], not {found}")))
            }
        }
    }
}

/// Returns the numbers of so many rows, from JSON or from the binary tensor after it.
pub fn numbers(input: Input, rows: usize, state_dim: usize, parts: &Parts) -> Result<Vec<f32>, Error> {
    let Input { datatype, data, binary_data_size, .. } = input;
    let numbers = match (data, binary_data_size) {
        (Some(data), None) => {
            parts.expect_binary(0)?;
            of_json(data, rows, state_dim)?
        }
        (None, Some(size)) => {
            let expected = rows as u64 * state_dim as u64 * datatype.width();
            if size != expected {
                let shape = "the shape and the datatype of `state` take";
                return Err(Error::Refused(format!("{shape} {expected} bytes, and its binary_data_size is {size}")));
            }
            datatype.read(parts.expect_binary(size)?)
        }
        (Some(_), Some(_)) => return Err(refused("the input `state` has both data and a binary_data_size")),
        (None, None) => return Err(refused("the input `state` has neither data nor a binary_data_size")),
    };
    if !finite(&numbers) {
        return Err(refused("the input `state` has a number that is not finite as FP32"));
    }
    Ok(numbers)
}

fn of_json(data: States, rows: usize, state_dim: usize) -> Result<Vec<f32>, Error> {
    // In 64 bits, for the component's own words are of 32.
    let (found, expected) = (data.numbers.len(), rows as u64 * state_dim as u64);
    let reason = match (data.count, data.other_than(state_dim)) {
        (0, _) if found as u64 == expected => return Ok(data.numbers),
        (0, _) => format!("the input `state` has {found} numbers, and its shape takes {expected}"),
        (count, None) if count == rows => return Ok(data.numbers),
        (count, None) => format!("the input `state` has {count} lists, and its shape takes {rows}"),
        (_, Some((row, found))) => {
            format!("list {row} of the input `state` has {found} numbers, and its shape takes {state_dim}")
        }
    };
    Err(Error::Refused(reason))
}

fn refused(reason: &str) -> Error {
    Error::Refused(reason.to_owned())
}

impl Datatype {
    /// The bytes of a number.
    fn width(self) -> u64 {
        match self {
            Datatype::Fp32 => 4,
            Datatype::Fp64 => 8,
        }
    }

    /// Reads whole numbers of little-endian bytes, wherever they begin in memory.
    fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Datatype::Fp32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Datatype::Fp64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        }
    }
}
