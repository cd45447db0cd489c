//! Reads the files of `torch.save`: a zip archive of a pickle and of the storages that it names (since PyTorch 1.6), or
//! pickles and storages in a row.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::archive::Archive;
use super::contents::{Contents, MAX_NAME};
use super::dtype::Dtype;
use super::flatten::{CALLS, flatten};
use super::pickle::{Id, Machine, Node, Pickle, read};
use super::storage::Storage;
use super::tensor::Tensor;

/// The first pickle of the old format: the number 0x1950a86a20f9469cfc6c.
pub const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

const PICKLE: &str = "data.pkl";

/// Returns the folder of a PyTorch archive within a zip archive, with its slash; `None` if the zip archive is of
/// something else.
pub fn folder(archive: &Archive) -> Option<String> {
    let mut folders = archive.names().filter_map(|name| name.strip_suffix(PICKLE));
    folders.find(|folder| folder.is_empty() || folder.ends_with('/')).map(str::to_owned)
}

/// Reads a zip archive of `torch.save`.
pub fn read_archive(archive: &Archive, folder: &str) -> Result<Contents> {
    let entry = |name: &str| archive.entry(&format!("{folder}{name}"));
    if let Some(byteorder) = entry("byteorder") {
        ensure!(*byteorder.read()? == *b"little", "the tensors are big-endian: little-endian is expected");
    }
    let bytes = entry(PICKLE).context("the zip archive has no data.pkl")?.read()?;
    let pickle = read(&bytes, CALLS)?;
    flatten(&pickle, &tensors_in(archive, &format!("{folder}data/")))
}

/// Returns the function that reads a node of a pickle as a tensor, whose storage is an entry of `folder`.
pub fn tensors_in(archive: &Archive, folder: &str) -> impl Fn(&Pickle, Id) -> Result<Option<Tensor>> {
    let storages = Storages::default();
    move |pickle, id| {
        tensor(pickle, id, |named| {
            storages.of(named, |named| {
                let entry = archive.entry(&format!("{folder}{}", named.key)).cloned();
                let entry = entry.with_context(|| format!("the storage {} is missing", named.key))?;
                let needed = named.numel.checked_mul(named.dtype.size());
                ensure!(
                    needed == Some(entry.size()),
                    "the storage {} has {} bytes, not those of its numbers",
                    named.key,
                    entry.size()
                );
                Ok(Storage::new(move || entry.read()))
            })
        })
    }
}

/// Reads a file of `torch.save` before PyTorch 1.6.
pub fn read_legacy(bytes: &Bytes) -> Result<Contents> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Machine::new(&bytes[at..], CALLS).run()?;
        at += length;
        anyhow::Ok(pickle)
    };
    let (_magic, _protocol, system) = (next()?, next()?, next()?);
    ensure!(!is_big_endian(&system), "the tensors are big-endian: little-endian is expected");
    let (pickle, keys) = (next()?, next()?);
    let found = legacy_storages(&pickle, &keys, bytes, at)?;
    let storages = Storages::default();
    flatten(&pickle, &|pickle, id| {
        tensor(pickle, id, |named| {
            storages.of(named, |named| {
                let bytes = found.get(named.key).context("a storage is missing")?.clone();
                ensure!(
                    named.numel.checked_mul(named.dtype.size()) == Some(bytes.len()),
                    "the storage {} has {} bytes, not those of its numbers",
                    named.key,
                    bytes.len()
                );
                Ok(Storage::new(move || Ok(bytes.clone())))
            })
        })
    })
}

/// Returns the bytes of each storage by its key. The storages are in the order of their keys, each after its number of
/// elements.
fn legacy_storages(pickle: &Pickle, keys: &Pickle, bytes: &Bytes, mut at: usize) -> Result<HashMap<String, Bytes>> {
    let mut types = HashMap::new();
    for node in pickle.nodes() {
        if let Node::Persistent(id) = node {
            let named = NamedStorage::of(pickle, *id)?;
            types.insert(named.key, named.dtype);
        }
    }
    let mut storages = HashMap::new();
    for key in keys.sequence(keys.root).context("the list of storages is missing")? {
        let key = keys.text(*key).context("a storage has no key")?;
        let dtype = types.get(key).with_context(|| format!("the storage {key} has no type"))?;
        let count = bytes.get(at..at + 8).context("the file is cut short")?;
        let count = usize::try_from(u64::from_le_bytes(std::array::from_fn(|i| count[i])))?;
        let end = count.checked_mul(dtype.size()).and_then(|length| length.checked_add(at + 8));
        let end = end.filter(|end| *end <= bytes.len()).context("the file is cut short")?;
        storages.insert(key.to_owned(), bytes.slice(at + 8..end));
        at = end;
    }
    Ok(storages)
}

fn is_big_endian(system: &Pickle) -> bool {
    let Node::Dict(items) = system.node(system.root) else { return false };
    items.iter().any(|(key, value)| {
        system.text(*key) == Some("little_endian") && matches!(system.node(*value), Node::Bool(false))
    })
}

/// Reads a node as a tensor; returns `None` if it is something else.
fn tensor(pickle: &Pickle, id: Id, storage: impl Fn(&NamedStorage) -> Result<Rc<Storage>>) -> Result<Option<Tensor>> {
    let Some(instance) = pickle.instance(id) else { return Ok(None) };
    if !matches!(
        (instance.class.module, instance.class.name),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor")
    ) {
        return Ok(None);
    }
    let [named, offset, shape, strides] =
        pickle.arguments(instance.arguments).context("a tensor has too few arguments")?;
    let Node::Persistent(named) = pickle.node(named) else { bail!("a tensor has no storage") };
    let named = NamedStorage::of(pickle, *named)?;
    let sizes = |id: Id, which: &str| {
        let sizes = pickle.sizes(id);
        sizes.with_context(|| format!("a tensor has {which} that are not a list of numbers from zero"))
    };
    let offset = pickle.int(offset).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.context("a tensor has an offset that is not a number from zero")?;
    let (shape, strides) = (sizes(shape, "dimensions")?, sizes(strides, "strides")?);
    Tensor::view(storage(&named)?, named.dtype, named.numel, offset, shape, strides).map(Some)
}

/// A reference to a storage: `("storage", type, key, device, number of elements, …)`.
struct NamedStorage<'a> {
    key: &'a str,
    dtype: Dtype,
    numel: usize,
}

impl<'a> NamedStorage<'a> {
    fn of(pickle: &Pickle<'a>, id: Id) -> Result<Self> {
        let parts = pickle.arguments(id).context("a storage has too few parts")?;
        let [tag, dtype, key, _device, numel] = parts;
        ensure!(pickle.text(tag) == Some("storage"), "the pickle refers to something that is not a storage");
        let class = pickle.global(dtype).context("a storage has no type")?;
        let dtype =
            storage_type(class.name).with_context(|| format!("a tensor has the type {class}, which is not read"))?;
        let numel = pickle.int(numel).and_then(|numel| usize::try_from(numel).ok()).context("a storage has no size")?;
        let key = pickle.text(key).context("a storage has no key")?;
        ensure!(key.len() <= MAX_NAME, "a storage has a key of more than {MAX_NAME} bytes");
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

/// The storages of a file by their references. Tensors that share a storage share its bytes.
#[derive(Default)]
struct Storages(std::cell::RefCell<HashMap<String, Rc<Storage>>>);

impl Storages {
    fn of(&self, named: &NamedStorage, find: impl Fn(&NamedStorage) -> Result<Rc<Storage>>) -> Result<Rc<Storage>> {
        // Two references with one key and another type or size are two storages.
        let key = format!("{} {:?} {}", named.key, named.dtype, named.numel);
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(known.clone());
        }
        let storage = find(named)?;
        self.0.borrow_mut().insert(key, storage.clone());
        Ok(storage)
    }
}
