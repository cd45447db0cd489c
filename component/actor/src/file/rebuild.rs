//! Reads the calls by which PyTorch rebuilds tensors. A tensor that depends on anything that is not read is kept with its
//! reason, since only the actor's tensors are needed.

use std::rc::Rc;

use anyhow::{Context, Result};

use super::dtype::Dtype;
use super::names::name;
use super::numpy;
use super::pickle::{Global, Id, Node, Pickle};
use super::storage::Storage;
use super::tensor::Tensor;

/// A storage that a tensor is a view into.
#[derive(Clone)]
pub struct Backing {
    pub storage: Rc<Storage>,
    pub dtype: Dtype,
    pub numel: usize,
}

/// Finds the storage that a node refers to. The inner error is the reason why it is not read; the outer one is damage.
pub type FindStorage<'f> = &'f dyn Fn(&Pickle, Id) -> Result<Result<Backing, String>>;

/// The most calls within one another that make a tensor: a parameter, with attributes, of numpy's array.
const MAX_DEPTH: usize = 4;

/// Reads a node as a tensor; returns `None` if it is something else.
///
/// # Errors
///
/// Fails if the tensor is damaged.
pub fn tensor(pickle: &Pickle, id: Id, find: FindStorage) -> Result<Option<Tensor>> {
    let Some(instance) = pickle.instance(id) else { return Ok(None) };
    rebuild(pickle, instance.class, instance.arguments, find, 0)
}

fn rebuild(
    pickle: &Pickle,
    function: Global,
    arguments: Id,
    find: FindStorage,
    depth: usize,
) -> Result<Option<Tensor>> {
    let unread = |shape: Option<Id>, reason: String| {
        Ok(Some(Tensor::unread(shape.and_then(|shape| pickle.sizes(shape)), reason)))
    };
    let argument = |index: usize| pickle.sequence(arguments).and_then(|found| found.get(index).copied());
    match (function.module, function.name) {
        _ if depth > MAX_DEPTH => unread(None, "a tensor is rebuilt by too many calls".to_owned()),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => strided(pickle, arguments, find).map(Some),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            inner(pickle, argument(0).context("a parameter has no data")?, find, depth)
        }
        ("torch._utils", "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor")
        | ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor") => {
            inner(pickle, argument(0).context("a tensor has no data")?, find, depth)
        }
        // A tensor with attributes, or of a subclass: the function, the type, its arguments, and the attributes.
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2") => {
            let [function, _type, inner] = pickle.arguments(arguments).context("a tensor has too few arguments")?;
            match pickle.global(function) {
                Some(function) => match rebuild(pickle, function, inner, find, depth + 1)? {
                    None => unread(None, format!("a tensor is made by `{function}`, which is not called")),
                    tensor => Ok(tensor),
                },
                None => unread(None, "a tensor is made by a function without a name".to_owned()),
            }
        }
        ("torch._utils", name) if name.starts_with("_rebuild_") => {
            let shape = match name {
                "_rebuild_meta_tensor_no_storage" => argument(1),
                "_rebuild_tensor_v3" | "_rebuild_qtensor" | "_rebuild_wrapper_subclass" => argument(2),
                _ => None,
            };
            unread(shape, format!("a tensor is rebuilt by torch._utils.{name}, which is not read: save it as float32"))
        }
        _ => Ok(None),
    }
}

/// Reads the data of a parameter, or what was copied to a device: a tensor or numpy's array.
fn inner(pickle: &Pickle, id: Id, find: FindStorage, depth: usize) -> Result<Option<Tensor>> {
    if let Some(instance) = pickle.instance(id) {
        if let Some(tensor) = rebuild(pickle, instance.class, instance.arguments, find, depth + 1)? {
            return Ok(Some(tensor));
        }
        if let Some(array) = numpy::array(pickle, instance) {
            return Ok(Some(array));
        }
    }
    Ok(Some(Tensor::unread(None, format!("a tensor is made by `{}`, which is not called", name(pickle, id)))))
}

/// Reads `(storage, offset, shape, strides, requires_grad, hooks, metadata)`.
fn strided(pickle: &Pickle, arguments: Id, find: FindStorage) -> Result<Tensor> {
    let parts = pickle.arguments(arguments).context("a tensor has too few arguments")?;
    let [storage, offset, shape, strides] = parts;
    let sizes = |id: Id, which: &str| {
        pickle.sizes(id).ok_or_else(|| format!("a tensor has {which} that are not a list of numbers from zero"))
    };
    let shape = sizes(shape, "dimensions");
    let unread = |reason: String| Ok(Tensor::unread(shape.clone().ok(), reason));
    let backing = match find(pickle, storage)? {
        Ok(backing) => backing,
        Err(reason) => return unread(reason),
    };
    let strides = match sizes(strides, "strides") {
        Ok(strides) => strides,
        Err(reason) => return unread(reason),
    };
    let Some(offset) = pickle.int(offset).and_then(|offset| usize::try_from(offset).ok()) else {
        return unread("a tensor has an offset that is not a number from zero".to_owned());
    };
    if is_conjugate(pickle, arguments) {
        return unread(
            "a tensor is a conjugate or negative view, which is not read: save its `resolve_neg()`".to_owned(),
        );
    }
    match &shape {
        Ok(shape) => Tensor::view(backing.storage, backing.dtype, backing.numel, offset, shape.clone(), strides),
        Err(reason) => Ok(Tensor::unread(None, reason.clone())),
    }
}

/// Returns `true` if the metadata of a tensor says that its numbers are others than those in the storage.
fn is_conjugate(pickle: &Pickle, arguments: Id) -> bool {
    let metadata = pickle.sequence(arguments).and_then(|arguments| arguments.get(6));
    let is_set = |flag| metadata.and_then(|of| pickle.item(*of, flag)).map(|flag| pickle.node(flag));
    ["conj", "neg"].into_iter().filter_map(is_set).any(|flag| !matches!(flag, Node::Bool(false)))
}
