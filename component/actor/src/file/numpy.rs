//! Reads numpy's arrays, numbers and dtypes in a pickle, and the files of `numpy.save`.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::dtype::Dtype;
use super::pickle::{Id, Instance, Node, Pickle};
use super::tensor::Tensor;

/// Reads an object as an array. Returns `None` if it is something else, or an array of something else than numbers. An
/// array that cannot be read fails when its numbers are needed.
pub fn array(pickle: &Pickle, instance: &Instance) -> Option<Tensor> {
    let module = instance.class.module.replace("._core.", ".core.");
    let parts = match (module.as_str(), instance.class.name) {
        ("numpy.core.multiarray", "_reconstruct") => reconstructed(pickle, instance),
        ("numpy.core.numeric", "_frombuffer") => from_buffer(pickle, instance),
        ("numpy.core.multiarray", "scalar") => scalar(pickle, instance),
        ("jax._src.array", "_reconstruct_array") => of_jax(pickle, instance),
        _ => return None,
    };
    match parts.and_then(|parts| parts.array(pickle)) {
        Ok(array) => array,
        Err(error) => Some(Tensor::unread(None, format!("a numpy array: {error:#}"))),
    }
}

/// The parts of an array.
struct Parts {
    dtype: Id,
    /// `None` for a single number.
    shape: Option<Id>,
    data: Id,
    is_fortran: bool,
}

/// Reads `ndarray.__setstate__((version, shape, dtype, is_fortran, data))`.
fn reconstructed(pickle: &Pickle, instance: &Instance) -> Result<Parts> {
    state(pickle, instance.state.context("it has no state")?)
}

/// Reads `_reconstruct_array(function, arguments, state, …)`, in which the state is that of numpy's array.
fn of_jax(pickle: &Pickle, instance: &Instance) -> Result<Parts> {
    let [_function, _arguments, of_array] = pickle.arguments(instance.arguments).context("it has no state")?;
    state(pickle, of_array)
}

fn state(pickle: &Pickle, state: Id) -> Result<Parts> {
    let [_, shape, dtype, fortran, data] = pickle.arguments(state).context("it has no state")?;
    let is_fortran = matches!(pickle.node(fortran), Node::Bool(true) | Node::Int(1));
    Ok(Parts { dtype, shape: Some(shape), data, is_fortran })
}

/// Reads `_frombuffer(data, dtype, shape, order)`.
fn from_buffer(pickle: &Pickle, instance: &Instance) -> Result<Parts> {
    let [data, dtype, shape, order] = pickle.arguments(instance.arguments).context("it has no buffer")?;
    Ok(Parts { dtype, shape: Some(shape), data, is_fortran: pickle.text(order) == Some("F") })
}

/// Reads `scalar(dtype, data)`.
fn scalar(pickle: &Pickle, instance: &Instance) -> Result<Parts> {
    let [dtype, data] = pickle.arguments(instance.arguments).context("it has no number")?;
    Ok(Parts { dtype, shape: None, data, is_fortran: false })
}

impl Parts {
    fn array(self, pickle: &Pickle) -> Result<Option<Tensor>> {
        let code = code(pickle, self.dtype).context("it has no dtype")?;
        let shape = match self.shape {
            Some(shape) => pickle.sizes(shape).context("it has no shape")?,
            None => vec![],
        };
        let Some(dtype) = number_type(&code) else { return Ok(None) };
        if code.starts_with('>') {
            let reason = "a numpy array is big-endian: little-endian is expected".to_owned();
            return Ok(Some(Tensor::unread(Some(shape), reason)));
        }
        build(raw(pickle, self.data)?, dtype, shape, self.is_fortran).map(Some)
    }
}

fn build(bytes: Bytes, dtype: Dtype, shape: Vec<usize>, is_fortran: bool) -> Result<Tensor> {
    let count = bytes.len();
    let array =
        if is_fortran { Tensor::fortran(bytes, dtype, shape) } else { Tensor::contiguous(bytes, dtype, shape) }?;
    ensure!(
        array.numel().checked_mul(dtype.size()) == Some(count),
        "it has the shape {:?} and {count} bytes, which do not fit",
        array.shape
    );
    Ok(array)
}

/// Reads `dtype(code, …)` with the state `(version, byte order, …)`, as a code that starts with its order unless that is
/// the usual one.
fn code(pickle: &Pickle, id: Id) -> Option<String> {
    code_of(pickle, pickle.instance(id)?)
}

fn code_of(pickle: &Pickle, instance: &Instance) -> Option<String> {
    let of_dtype = (instance.class.module, instance.class.name) == ("numpy", "dtype");
    let [code] = pickle.arguments(instance.arguments).filter(|_| of_dtype)?;
    let code = pickle.text(code).filter(|code| code.len() <= 16)?;
    let order = instance.state.and_then(|state| pickle.arguments(state)).and_then(|[_, order]| pickle.text(order));
    let is_big = order == Some(">") || code.starts_with('>');
    let code = code.trim_start_matches(['<', '>', '|', '=']);
    Some(if is_big { format!(">{code}") } else { code.to_owned() })
}

/// Reads an object as a dtype, by its usual name; returns `None` if it is something else.
pub fn dtype_name(pickle: &Pickle, instance: &Instance) -> Option<String> {
    let code = code_of(pickle, instance)?;
    let (kind, size) = code.split_at_checked(1)?;
    let bits = || size.parse::<u32>().ok().filter(|size| *size <= 16).map(|size| size * 8);
    let kind = match kind {
        "f" => "float",
        "i" => "int",
        "u" => "uint",
        "b" => return Some("bool".to_owned()),
        _ => return Some(code),
    };
    Some(bits().map_or(code.clone(), |bits| format!("{kind}{bits}")))
}

fn number_type(code: &str) -> Option<Dtype> {
    Some(match code.trim_start_matches('>') {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return None,
    })
}

/// Reads bytes. In protocol 2 they are `_codecs.encode(text, 'latin1')`, and in Python 2 a string.
pub fn raw(pickle: &Pickle, id: Id) -> Result<Bytes> {
    match pickle.node(id) {
        Node::Bytes(_) => pickle.bytes(id).context("it has no data"),
        Node::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Node::Instance(instance) if instance.class.module == "_codecs" => {
            let text = pickle.arguments(instance.arguments).and_then(|[text]| pickle.text(text));
            let bytes = text.context("it has no data")?.chars().map(|c| u8::try_from(u32::from(c)));
            Ok(bytes.collect::<Result<Vec<_>, _>>().context("its data is not latin1")?.into())
        }
        Node::Instance(instance) if ["bytes", "bytearray"].contains(&instance.class.name) => {
            // `bytes()` is empty.
            let Some([inner]) = pickle.arguments(instance.arguments) else { return Ok(Bytes::new()) };
            pickle.bytes(inner).context("it has no data")
        }
        _ => bail!("it has no data"),
    }
}

/// Reads a file of `numpy.save`; returns `None` if its elements are no numbers. The header is a dict in Python's syntax:
/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
pub fn read_file(bytes: &Bytes) -> Result<Option<Tensor>> {
    let version = bytes.strip_prefix(b"\x93NUMPY").and_then(|rest| rest.first()).context("it is no file of numpy")?;
    let (start, length) = if *version == 1 {
        (10, bytes.get(8..10).map(|length| usize::from(u16::from_le_bytes([length[0], length[1]]))))
    } else {
        let length = bytes.get(8..12).map(|length| u32::from_le_bytes(std::array::from_fn(|i| length[i])));
        (12, length.and_then(|length| usize::try_from(length).ok()))
    };
    let end = length.and_then(|length| length.checked_add(start)).filter(|end| *end <= bytes.len());
    let end = end.context("it is cut short")?;
    let header = std::str::from_utf8(&bytes[start..end])?;
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches(['\'', '"', ':', ' ']));
    let code = after("descr").and_then(|rest| rest.split(['\'', '"']).next()).context("its header has no type")?;
    let is_fortran = after("fortran_order").is_some_and(|rest| rest.starts_with("True"));
    let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next()).context("it has no shape")?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(str::parse);
    let shape = sizes.collect::<Result<Vec<usize>, _>>().context("it has no shape")?;
    match number_type(code.trim_start_matches(['<', '|', '='])) {
        Some(_) if code.starts_with('>') => bail!("it is big-endian: little-endian is expected"),
        Some(dtype) => build(bytes.slice(end..), dtype, shape, is_fortran).map(Some),
        None => Ok(None),
    }
}
