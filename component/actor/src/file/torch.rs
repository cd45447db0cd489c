//! What `torch.save` writes: a zip archive of a pickle and the storages that it names (since PyTorch 1.6), or pickles
//! and storages one after the other.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::archive::Archive;
use super::flatten::{CALLS, flatten};
use super::pickle::{Id, Machine, Node, Pickle, read};
use crate::file::contents::{Contents, MAX_NAME};
use crate::file::tensor::{Dtype, Storage, Tensor};

/// The first of the pickles of the old format: 0x1950a86a20f9469cfc6c.
pub const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

const PICKLE: &str = "data.pkl";

/// The folder of a PyTorch archive within a zip, with its slash, if that is what the zip is.
pub fn folder(archive: &Archive) -> Option<String> {
    let mut folders = archive.names().filter_map(|name| name.strip_suffix(PICKLE));
    folders.find(|folder| folder.is_empty() || folder.ends_with('/')).map(str::to_owned)
}

/// Whether it is a TorchScript archive, which holds a program beside its parameters.
pub fn is_script(archive: &Archive, folder: &str) -> bool {
    archive.names().any(|name| name.strip_prefix(folder).is_some_and(|name| name.starts_with("code/")))
}

pub fn read_archive(archive: &Archive, folder: &str) -> Result<Contents> {
    let entry = |name: &str| archive.entry(&format!("{folder}{name}"));
    if let Some(byteorder) = entry("byteorder") {
        ensure!(*byteorder.read()? == *b"little", "the tensors are big-endian, little-endian is expected");
    }
    let bytes = entry(PICKLE).context("no data.pkl in the zip archive")?.read()?;
    let pickle = read(&bytes, CALLS)?;
    let storages = Storages::default();
    flatten(&pickle, &|pickle, id| {
        tensor(pickle, id, |named| {
            storages.of(named, |named| {
                let entry = entry(&format!("data/{}", named.key)).cloned();
                let entry = entry.with_context(|| format!("the storage {} is missing", named.key))?;
                let needed = named.numel.checked_mul(named.dtype.size());
                ensure!(needed == Some(entry.size()), "the storage {} is of {} bytes", named.key, entry.size());
                Ok(Storage::new(move || entry.read()))
            })
        })
    })
}

pub fn read_legacy(bytes: &Bytes) -> Result<Contents> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Machine::new(&bytes[at..], CALLS).run()?;
        at += length;
        anyhow::Ok(pickle)
    };
    let (_magic, _protocol, system) = (next()?, next()?, next()?);
    ensure!(!says_big_endian(&system), "the tensors are big-endian, little-endian is expected");
    let (pickle, keys) = (next()?, next()?);
    let places = legacy_places(&pickle, &keys, bytes, at)?;
    let storages = Storages::default();
    flatten(&pickle, &|pickle, id| {
        tensor(pickle, id, |named| {
            storages.of(named, |named| {
                let bytes = places.get(named.key).context("a storage is missing")?.clone();
                ensure!(
                    named.numel.checked_mul(named.dtype.size()) == Some(bytes.len()),
                    "the storage {} is of {} bytes",
                    named.key,
                    bytes.len()
                );
                Ok(Storage::new(move || Ok(bytes.clone())))
            })
        })
    })
}

/// The storages follow in the order of their keys, each after its number of elements.
fn legacy_places(pickle: &Pickle, keys: &Pickle, bytes: &Bytes, mut at: usize) -> Result<HashMap<String, Bytes>> {
    let mut types = HashMap::new();
    for node in pickle.nodes() {
        if let Node::Persistent(id) = node {
            let named = NamedStorage::of(pickle, *id)?;
            types.insert(named.key, named.dtype);
        }
    }
    let mut places = HashMap::new();
    for key in keys.sequence(keys.root).context("a list of storages is missing")? {
        let key = keys.text(*key).context("a storage without a key")?;
        let dtype = types.get(key).with_context(|| format!("the storage {key} is of an unknown type"))?;
        let count = bytes.get(at..at + 8).context("the file is cut short")?;
        let count = usize::try_from(u64::from_le_bytes(std::array::from_fn(|i| count[i])))?;
        let end = count.checked_mul(dtype.size()).and_then(|length| length.checked_add(at + 8));
        let end = end.filter(|end| *end <= bytes.len()).context("the file is cut short")?;
        places.insert(key.to_owned(), bytes.slice(at + 8..end));
        at = end;
    }
    Ok(places)
}

fn says_big_endian(system: &Pickle) -> bool {
    let Node::Dict(items) = system.node(system.root) else { return false };
    items.iter().any(|(key, value)| {
        system.text(*key) == Some("little_endian") && matches!(system.node(*value), Node::Bool(false))
    })
}

/// The tensor that a node is, where it is one.
fn tensor(pickle: &Pickle, id: Id, storage: impl Fn(&NamedStorage) -> Result<Rc<Storage>>) -> Result<Option<Tensor>> {
    let Some(instance) = pickle.instance(id) else { return Ok(None) };
    if !matches!(
        (instance.class.module, instance.class.name),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor")
    ) {
        return Ok(None);
    }
    let [named, offset, shape, strides] = pickle.arguments(instance.arguments).context("a tensor of too few parts")?;
    let Node::Persistent(named) = pickle.node(named) else { bail!("a tensor without a storage") };
    let named = NamedStorage::of(pickle, *named)?;
    let sizes = |id: Id, what: &str| {
        let sizes = pickle.sizes(id);
        sizes.with_context(|| format!("a tensor with {what} that are no list of numbers from zero"))
    };
    let offset = pickle.int(offset).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.context("a tensor with an offset that is no number from zero")?;
    let (shape, strides) = (sizes(shape, "dimensions")?, sizes(strides, "strides")?);
    Tensor::view(storage(&named)?, named.dtype, named.numel, offset, shape, strides).map(Some)
}

/// What the pickle says of a storage: `("storage", type, key, device, number of elements, …)`.
struct NamedStorage<'a> {
    key: &'a str,
    dtype: Dtype,
    numel: usize,
}

impl<'a> NamedStorage<'a> {
    fn of(pickle: &Pickle<'a>, id: Id) -> Result<Self> {
        let parts = pickle.arguments(id).context("a storage of too few parts")?;
        let [tag, dtype, key, _device, numel] = parts;
        ensure!(pickle.text(tag) == Some("storage"), "something that is no storage is stored beside the pickle");
        let class = pickle.global(dtype).context("a storage without a type")?;
        let dtype =
            storage_type(class.name).with_context(|| format!("a tensor of the type {class}, which is not read"))?;
        let numel = pickle.int(numel).and_then(|numel| usize::try_from(numel).ok()).context("a storage of no size")?;
        let key = pickle.text(key).context("a storage without a key")?;
        ensure!(key.len() <= MAX_NAME, "a storage with a key of more than {MAX_NAME} bytes");
        Ok(NamedStorage { key, dtype, numel })
    }
}

fn storage_type(class: &str) -> Option<Dtype> {
    Some(match class {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

/// Tensors that share a storage share what was read of it.
#[derive(Default)]
struct Storages(std::cell::RefCell<HashMap<String, Rc<Storage>>>);

impl Storages {
    fn of(&self, named: &NamedStorage, find: impl Fn(&NamedStorage) -> Result<Rc<Storage>>) -> Result<Rc<Storage>> {
        // One key with two types or sizes is two storages.
        let key = format!("{} {:?} {}", named.key, named.dtype, named.numel);
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(known.clone());
        }
        let storage = find(named)?;
        self.0.borrow_mut().insert(key, storage.clone());
        Ok(storage)
    }
}
