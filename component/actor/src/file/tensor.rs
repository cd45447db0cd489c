//! A tensor: a strided view into a storage, whose bounds are checked before any number is read.

use std::rc::Rc;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;

use super::dtype::{Dtype, first};
use super::storage::Storage;

/// A tensor of a file.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The stride of each dimension, in elements.
    strides: Vec<usize>,
    offset: usize,
    storage: Rc<Storage>,
    is_unread: bool,
}

impl Tensor {
    /// Makes a tensor that fails with a reason when it is read, as one of a type that is not served, or one that
    /// depends on a call. Its shape is empty if it is too large to be true, and its type says nothing.
    pub fn unread(shape: Option<Vec<usize>>, reason: String) -> Self {
        let shape = shape.filter(|shape| is_plausible(shape)).unwrap_or_default();
        let strides = vec![0; shape.len()];
        Tensor { dtype: Dtype::F32, shape, strides, offset: 0, storage: Storage::unread(reason), is_unread: true }
    }

    /// Returns the reason why the tensor is not read, or `None` if it is.
    pub fn unread_reason(&self) -> Option<String> {
        if self.is_unread { self.storage.bytes().err().map(|error| format!("{error:#}")) } else { None }
    }

    /// Makes a view into a storage of `numel` elements. `offset` and `strides` count elements.
    ///
    /// # Errors
    ///
    /// Fails unless every element lies in the storage. If two are the same, the tensor is unread.
    pub fn view(
        storage: Rc<Storage>,
        dtype: Dtype,
        numel: usize,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self> {
        ensure!(
            shape.len() == strides.len(),
            "a tensor of shape {shape:?} has strides {strides:?}: one for each dimension is expected"
        );
        ensure!(shape.len() <= MAX_RANK, "a tensor has {} dimensions: at most {MAX_RANK} are read", shape.len());
        let end = end_of(&shape, &strides, offset);
        ensure!(
            end.is_some_and(|end| end <= numel),
            "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} reaches out of its storage of {numel}"
        );
        ensure!(!shape.contains(&0) || is_plausible(&shape), "a tensor has the shape {shape:?}: too large");
        if overlaps(&shape, &strides) {
            // PyTorch saves an expanded tensor so.
            let reason = format!("a tensor of shape {shape:?} and strides {strides:?} overlaps itself");
            return Ok(Tensor::unread(Some(shape), reason));
        }
        Ok(Tensor { dtype, shape, strides, offset, storage, is_unread: false })
    }

    /// Makes a tensor of whole row-major bytes.
    pub fn contiguous(bytes: Bytes, dtype: Dtype, shape: Vec<usize>) -> Result<Self> {
        let mut strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = shape[i].saturating_mul(strides[i]);
        }
        Tensor::whole(bytes, dtype, shape, strides)
    }

    /// Makes a tensor of whole column-major bytes.
    pub fn fortran(bytes: Bytes, dtype: Dtype, shape: Vec<usize>) -> Result<Self> {
        let mut strides = vec![1; shape.len()];
        for i in 1..shape.len() {
            strides[i] = shape[i - 1].saturating_mul(strides[i - 1]);
        }
        Tensor::whole(bytes, dtype, shape, strides)
    }

    fn whole(bytes: Bytes, dtype: Dtype, shape: Vec<usize>, strides: Vec<usize>) -> Result<Self> {
        let numel = bytes.len() / dtype.size();
        Tensor::view(Storage::new(move || Ok(bytes.clone())), dtype, numel, 0, shape, strides)
    }

    /// Returns the number of elements.
    pub fn numel(&self) -> usize {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// Returns `true` if more than one dimension is larger than one.
    pub fn is_matrix(&self) -> bool {
        self.shape.iter().filter(|size| **size > 1).count() > 1
    }

    /// Reads the elements in row-major order.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        self.collect(|bytes| self.dtype.number(bytes))
    }

    /// Reads the elements in row-major order as f32. A number beyond its range becomes infinite.
    pub fn floats(&self) -> Result<Vec<f32>> {
        match self.dtype {
            Dtype::F32 => self.collect(|bytes| f32::from_le_bytes(first(bytes))),
            dtype => self.collect(|bytes| dtype.number(bytes) as f32),
        }
    }

    fn collect<T>(&self, read: impl Fn(&[u8]) -> T) -> Result<Vec<T>> {
        let size = self.dtype.size();
        let bytes = self.storage.bytes()?;
        let (Some(&columns), Some(&stride)) = (self.shape.last(), self.strides.last()) else {
            return Ok(vec![read(self.at(bytes, self.offset)?)]);
        };
        let mut values = Vec::with_capacity(self.numel());
        for row in 0..self.numel().checked_div(columns).unwrap_or(0) {
            let start = self.offset + self.row_offset(row);
            if stride == 1 {
                let run = self.at(bytes, start)?.get(..columns * size).ok_or_else(too_short)?;
                values.extend(run.chunks_exact(size).map(&read));
            } else {
                for column in 0..columns {
                    values.push(read(self.at(bytes, start + column * stride)?));
                }
            }
        }
        Ok(values)
    }

    /// Returns the offset of a row along the last dimension. Rows are counted in row-major order.
    fn row_offset(&self, mut row: usize) -> usize {
        let outer = self.shape.len() - 1;
        let mut offset = 0;
        for (size, stride) in self.shape[..outer].iter().zip(&self.strides).rev() {
            offset += row % size * stride;
            row /= size;
        }
        offset
    }

    fn at<'a>(&self, bytes: &'a [u8], element: usize) -> Result<&'a [u8]> {
        let size = self.dtype.size();
        bytes.get(element * size..).filter(|rest| rest.len() >= size).ok_or_else(too_short)
    }
}

/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;
/// The most elements of a tensor whose storage does not limit them. Empty dimensions count as one.
const MAX_UNREAD: usize = 1 << 24;

/// Returns `true` if a shape is that of some tensor that a checkpoint may hold.
fn is_plausible(shape: &[usize]) -> bool {
    let numel = shape.iter().fold(1, |numel: usize, size| numel.saturating_mul((*size).max(1)));
    shape.len() <= MAX_RANK && numel <= MAX_UNREAD
}

fn too_short() -> anyhow::Error {
    anyhow!("a storage is shorter than its tensors")
}

/// Returns one past the offset of the last element, or `None` on overflow.
fn end_of(shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    if shape.contains(&0) {
        return Some(offset);
    }
    let reach = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |end, (size, stride)| end.checked_add((size - 1).checked_mul(*stride)?));
    reach?.checked_add(1)
}

/// Returns `true` if two indices may lead to one element. Sorted by stride, each dimension must step over all elements
/// of the smaller ones.
fn overlaps(shape: &[usize], strides: &[usize]) -> bool {
    let mut dimensions = shape.iter().zip(strides).filter(|(size, _)| **size > 1).collect::<Vec<_>>();
    dimensions.sort_by_key(|(_, stride)| **stride);
    let mut within = 1usize;
    dimensions.into_iter().any(|(size, stride)| {
        let overlaps = *stride < within;
        within = (size - 1).saturating_mul(*stride).saturating_add(within);
        overlaps
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn storage(count: u8) -> Rc<Storage> {
        Storage::new(move || Ok((0..count).collect::<Vec<u8>>().into()))
    }

    fn view(numel: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Result<Tensor> {
        Tensor::view(storage(numel as u8), Dtype::U8, numel, offset, shape.to_vec(), strides.to_vec())
    }

    #[test]
    fn a_view_is_read_row_major_whatever_its_strides() {
        let numbers = |offset, shape: &[usize], strides: &[usize]| view(12, offset, shape, strides)?.numbers();
        assert_eq!(numbers(1, &[2, 3], &[3, 1]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(numbers(0, &[2, 3], &[1, 2]).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(numbers(0, &[2, 2, 2], &[1, 2, 4]).unwrap(), [0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]);
        assert_eq!(numbers(5, &[], &[]).unwrap(), [5.0]);
        assert!(numbers(0, &[0, 3], &[3, 1]).unwrap().is_empty());
    }

    #[test]
    fn a_view_out_of_its_storage_or_over_itself_is_refused() {
        let refused = |offset, shape: &[usize], strides: &[usize]| {
            view(12, offset, shape, strides).err().map(|error| error.to_string()).unwrap_or_default()
        };
        for (offset, shape, strides) in [
            (1, [3, 4], [4, 1]),
            (0, [usize::MAX, 2], [2, 1]),
            (0, [2, 2], [usize::MAX, 1]),
            (usize::MAX, [2, 2], [2, 1]),
        ] {
            assert!(refused(offset, &shape, &strides).contains("out of its storage"), "{shape:?}");
        }
        for strides in [[0, 0], [1, 1], [2, 1], [0, 1]] {
            let overlapping = view(12, 0, &[2, 3], &strides).unwrap();
            assert!(overlapping.numbers().unwrap_err().to_string().contains("overlaps itself"), "{strides:?}");
        }
        assert!(refused(0, &[0, usize::MAX], &[1, 1]).contains("too large"));
        assert!(refused(0, &[1; 9], &[1; 9]).contains("9 dimensions"));
    }

    #[test]
    fn an_unread_tensor_fails_when_it_is_read_and_never_takes_memory() {
        let tensor = Tensor::unread(Some(vec![2, 3]), "it is complex".to_owned());
        assert_eq!((tensor.shape.as_slice(), tensor.numel()), ([2, 3].as_slice(), 6));
        assert_eq!(tensor.numbers().unwrap_err().to_string(), "it is complex");
        assert_eq!(tensor.floats().unwrap_err().to_string(), "it is complex");
        assert_eq!(tensor.unread_reason().as_deref(), Some("it is complex"));
        for shape in [vec![usize::MAX, usize::MAX], vec![0, usize::MAX], vec![1; 99]] {
            assert!(Tensor::unread(Some(shape), String::new()).shape.is_empty());
        }
    }

    #[test]
    fn every_type_is_read_as_its_number() {
        let of = |dtype, bytes: &[u8]| {
            Tensor::contiguous(bytes.to_vec().into(), dtype, vec![1]).unwrap().numbers().unwrap()[0]
        };
        assert_eq!(of(Dtype::F64, &1.5f64.to_le_bytes()), 1.5);
        assert_eq!(of(Dtype::F32, &(-1.5f32).to_le_bytes()), -1.5);
        assert_eq!(of(Dtype::F16, &f16::from_f32(0.25).to_le_bytes()), 0.25);
        assert_eq!(of(Dtype::Bf16, &bf16::from_f32(0.25).to_le_bytes()), 0.25);
        assert_eq!(of(Dtype::I64, &(-7i64).to_le_bytes()), -7.0);
        assert_eq!(of(Dtype::I32, &(-7i32).to_le_bytes()), -7.0);
        assert_eq!(of(Dtype::I16, &(-7i16).to_le_bytes()), -7.0);
        assert_eq!(of(Dtype::I8, &[0xff]), -1.0);
        assert_eq!(of(Dtype::U8, &[0xff]), 255.0);
    }
}
