//! Reads numpy's arrays and numbers in a pickle.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::dtype::Dtype;
use super::pickle::{Id, Instance, Node, Pickle};
use super::tensor::Tensor;

/// Reads an object as an array; returns `None` if it is something else, or an array of something else than numbers.
pub fn array(pickle: &Pickle, instance: &Instance) -> Result<Option<Tensor>> {
    let module = instance.class.module.replace("._core.", ".core.");
    let array = match (module.as_str(), instance.class.name) {
        ("numpy.core.multiarray", "_reconstruct") => reconstructed(pickle, instance),
        ("numpy.core.numeric", "_frombuffer") => from_buffer(pickle, instance),
        ("numpy.core.multiarray", "scalar") => scalar(pickle, instance),
        _ => return Ok(None),
    };
    array.context("a numpy array")
}

/// Reads `ndarray.__setstate__((version, shape, dtype, is_fortran, data))`.
fn reconstructed(pickle: &Pickle, instance: &Instance) -> Result<Option<Tensor>> {
    let state = instance.state.and_then(|state| pickle.arguments(state));
    let [_, shape, dtype, fortran, data] = state.context("it has no state")?;
    let fortran = matches!(pickle.node(fortran), Node::Bool(true));
    build(pickle, shape, dtype, data, fortran)
}

/// Reads `_frombuffer(data, dtype, shape, order)`.
fn from_buffer(pickle: &Pickle, instance: &Instance) -> Result<Option<Tensor>> {
    let [data, dtype, shape, order] = pickle.arguments(instance.arguments).context("it has no buffer")?;
    build(pickle, shape, dtype, data, pickle.text(order) == Some("F"))
}

/// Reads `scalar(dtype, data)`.
fn scalar(pickle: &Pickle, instance: &Instance) -> Result<Option<Tensor>> {
    let [dtype, data] = pickle.arguments(instance.arguments).context("it has no number")?;
    let Some(dtype) = number_type(pickle, dtype)? else { return Ok(None) };
    build_of(raw(pickle, data)?, dtype, vec![], false).map(Some)
}

fn build(pickle: &Pickle, shape: Id, dtype: Id, data: Id, fortran: bool) -> Result<Option<Tensor>> {
    let Some(dtype) = number_type(pickle, dtype)? else { return Ok(None) };
    let shape = pickle.sizes(shape).context("it has no shape")?;
    build_of(raw(pickle, data)?, dtype, shape, fortran).map(Some)
}

fn build_of(bytes: Bytes, dtype: Dtype, shape: Vec<usize>, fortran: bool) -> Result<Tensor> {
    let count = bytes.len();
    let array = if fortran { Tensor::fortran(bytes, dtype, shape) } else { Tensor::contiguous(bytes, dtype, shape) }?;
    ensure!(
        array.numel().checked_mul(dtype.size()) == Some(count),
        "it has the shape {:?} and {count} bytes, which do not fit",
        array.shape
    );
    Ok(array)
}

/// Reads `dtype(code, …)` with the state `(version, byte order, …)`. Returns `None` for big-endian numbers and for
/// anything but numbers.
fn number_type(pickle: &Pickle, id: Id) -> Result<Option<Dtype>> {
    let instance = pickle.instance(id).filter(|i| (i.class.module, i.class.name) == ("numpy", "dtype"));
    let instance = instance.context("it has no dtype")?;
    let code = pickle.arguments(instance.arguments).and_then(|[code]| pickle.text(code)).context("it has no dtype")?;
    let order = instance.state.and_then(|state| pickle.arguments(state)).and_then(|[_, order]| pickle.text(order));
    if order == Some(">") || code.starts_with('>') {
        return Ok(None);
    }
    Ok(Some(match code.trim_start_matches(['<', '|', '=']) {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return Ok(None),
    }))
}

/// Reads bytes. In protocol 2 they are `_codecs.encode(text, 'latin1')`.
fn raw(pickle: &Pickle, id: Id) -> Result<Bytes> {
    match pickle.node(id) {
        Node::Bytes(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        Node::Instance(Instance { class, arguments, .. }) if class.module == "_codecs" => {
            let text = pickle.arguments(*arguments).and_then(|[text]| pickle.text(text)).context("it has no data")?;
            let bytes = text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<Vec<_>, _>>();
            Ok(bytes.context("its data is not latin1")?.into())
        }
        Node::Instance(Instance { class, arguments, .. }) if ["bytes", "bytearray"].contains(&class.name) => {
            // `bytes()` is empty.
            let Some([inner]) = pickle.arguments(*arguments) else { return Ok(Bytes::new()) };
            match pickle.node(inner) {
                Node::Bytes(bytes) => Ok(Bytes::copy_from_slice(bytes)),
                _ => bail!("it has no data"),
            }
        }
        _ => bail!("it has no data"),
    }
}
