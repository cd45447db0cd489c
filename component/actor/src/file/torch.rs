//! Reads the files of `torch.save`: a zip archive of a pickle and of the storages that it names (since PyTorch 1.6), or
//! pickles and storages in a row.

use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::archive::{Archive, Entry};
use super::contents::{Contents, MAX_NAME};
use super::dtype::Dtype;
use super::flatten::flatten;
use super::names::name;
use super::numpy;
use super::pickle::{Id, Machine, Node, Pickle, read};
use super::rebuild::{Backing, tensor};
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
    let pickle = read(&bytes)?;
    flatten(&pickle, &tensors_in(archive, &format!("{folder}data/")))
}

/// Returns the function that reads a node of a pickle as a tensor, whose storage is an entry of `folder`.
pub fn tensors_in(archive: &Archive, folder: &str) -> impl Fn(&Pickle, Id) -> Result<Option<Tensor>> {
    let storages = Storages::default();
    move |pickle, id| {
        let find = |named: &NamedStorage| {
            let entry = archive.entry(&format!("{folder}{}", named.key)).cloned();
            let entry = entry.with_context(|| format!("the storage {} is missing", named.key))?;
            named.check_size(entry.size())?;
            Ok(named.backing(move || entry.read()))
        };
        tensor(pickle, id, &|pickle, id| storages.find(pickle, id, &find))
    }
}

/// Reads a file of `torch.save` that is an entry of another archive.
pub fn read_entry(entry: &Entry) -> Result<Contents> {
    let bytes = entry.read()?;
    if bytes.starts_with(LEGACY_MAGIC) {
        return read_legacy(&bytes);
    }
    let archive = Archive::nested(entry, &bytes)?;
    let folder = folder(&archive).context("it is not an archive of torch.save")?;
    read_archive(&archive, &folder)
}

/// Reads a file of `torch.save` before PyTorch 1.6.
pub fn read_legacy(bytes: &Bytes) -> Result<Contents> {
    let (pickle, found) = legacy(bytes)?;
    let storages = Storages::default();
    let find = |named: &NamedStorage| legacy_backing(named, &found);
    flatten(&pickle, &|pickle, id| tensor(pickle, id, &|pickle, id| storages.find(pickle, id, &find)))
}

/// Reads a pickle of Python's own, in which each tensor's storage is the file of a `torch.save`.
pub fn read_plain(pickle: &Pickle) -> Result<Contents> {
    let known = RefCell::new(HashMap::<Id, Result<Backing, String>>::new());
    let find = |pickle: &Pickle, id: Id| {
        if let Some(found) = known.borrow().get(&id) {
            return Ok(found.clone());
        }
        let found = embedded(pickle, id).map_err(|error| format!("{error:#}"));
        known.borrow_mut().insert(id, found.clone());
        Ok(found)
    };
    flatten(pickle, &|pickle, id| tensor(pickle, id, &find))
}

/// Reads `torch.storage._load_from_bytes(file)`, where the root of the file is the storage.
fn embedded(pickle: &Pickle, id: Id) -> Result<Backing> {
    let loaded = pickle
        .instance(id)
        .filter(|instance| (instance.class.module, instance.class.name) == ("torch.storage", "_load_from_bytes"));
    let loaded = loaded.with_context(|| unread(pickle, id))?;
    let [file] = pickle.arguments(loaded.arguments).context("a storage has no content")?;
    let bytes = numpy::raw(pickle, file).context("a storage")?;
    ensure!(bytes.starts_with(LEGACY_MAGIC), "a storage within the pickle is not one of torch.save");
    let (pickle, found) = legacy(&bytes)?;
    let Node::Persistent(id) = pickle.node(pickle.root) else {
        anyhow::bail!("a storage within the pickle is something else");
    };
    let named = NamedStorage::of(&pickle, *id).map_err(anyhow::Error::msg)?;
    legacy_backing(&named, &found)
}

/// Reads the pickles in a row. Returns the one with the objects, and the bytes of each storage by its key.
fn legacy(bytes: &Bytes) -> Result<(Pickle<'_>, HashMap<String, Bytes>)> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Machine::new(bytes, at).run()?;
        at += length;
        anyhow::Ok(pickle)
    };
    let (_magic, _protocol, system) = (next()?, next()?, next()?);
    let little = system.item(system.root, "little_endian").map(|flag| system.node(flag));
    ensure!(!matches!(little, Some(Node::Bool(false))), "the tensors are big-endian: little-endian is expected");
    let (pickle, keys) = (next()?, next()?);
    let storages = legacy_storages(&pickle, &keys, bytes, at)?;
    Ok((pickle, storages))
}

/// Returns the bytes of each storage by its key. The storages are in the order of their keys, each after its number of
/// elements.
fn legacy_storages(pickle: &Pickle, keys: &Pickle, bytes: &Bytes, mut at: usize) -> Result<HashMap<String, Bytes>> {
    let mut sizes = HashMap::new();
    for node in pickle.nodes() {
        let Node::Persistent(id) = node else { continue };
        let Some([tag, class, key]) = pickle.arguments(*id) else { continue };
        if let (Some("storage"), Some(class), Some(key)) = (pickle.text(tag), pickle.global(class), pickle.text(key)) {
            ensure!(key.len() <= MAX_NAME, "a storage has a key of more than {MAX_NAME} bytes");
            sizes.insert(key, element_size(class.name));
        }
    }
    let mut storages = HashMap::new();
    for key in keys.sequence(keys.root).context("the list of storages is missing")? {
        let key = keys.text(*key).context("a storage has no key")?;
        let size = sizes.get(key).copied().flatten().with_context(|| format!("the storage {key} has no type"))?;
        let count = bytes.get(at..at + 8).context("the file is cut short")?;
        let count = usize::try_from(u64::from_le_bytes(std::array::from_fn(|i| count[i])))?;
        let end = count.checked_mul(size).and_then(|length| length.checked_add(at + 8));
        let end = end.filter(|end| *end <= bytes.len()).context("the file is cut short")?;
        storages.insert(key.to_owned(), bytes.slice(at + 8..end));
        at = end;
    }
    Ok(storages)
}

fn legacy_backing(named: &NamedStorage, found: &HashMap<String, Bytes>) -> Result<Backing> {
    let bytes = found.get(named.key).context("a storage is missing")?.clone();
    named.check_size(bytes.len())?;
    Ok(named.backing(move || Ok(bytes.clone())))
}

/// A reference to a storage: `("storage", type, key, device, number of elements, …)`.
struct NamedStorage<'a> {
    key: &'a str,
    dtype: Dtype,
    numel: usize,
}

impl<'a> NamedStorage<'a> {
    /// Reads a reference, or returns the reason why the storage is not read.
    fn of(pickle: &'a Pickle<'_>, id: Id) -> Result<Self, String> {
        let parts = pickle.arguments(id).ok_or("a storage has too few parts")?;
        let [tag, dtype, key, _device, numel] = parts;
        if pickle.text(tag) != Some("storage") {
            return Err("the pickle refers to something that is not a storage".to_owned());
        }
        let class = pickle.global(dtype).ok_or("a storage has no type")?;
        let dtype =
            storage_type(class.name).ok_or_else(|| format!("a tensor has the type {class}, which is not read"))?;
        let numel = pickle.int(numel).and_then(|numel| usize::try_from(numel).ok()).ok_or("a storage has no size")?;
        let key = pickle.text(key).ok_or("a storage has no key")?;
        if key.len() > MAX_NAME {
            return Err(format!("a storage has a key of more than {MAX_NAME} bytes"));
        }
        let view = pickle.sequence(id).and_then(|parts| parts.get(5));
        if view.is_some_and(|view| !matches!(pickle.node(*view), Node::None)) {
            return Err("a storage is a part of another, as PyTorch before 0.4 wrote it: save the file anew".to_owned());
        }
        Ok(NamedStorage { key, dtype, numel })
    }

    fn check_size(&self, found: usize) -> Result<()> {
        let needed = self.numel.checked_mul(self.dtype.size());
        ensure!(needed == Some(found), "the storage {} has {found} bytes, not those of its numbers", self.key);
        Ok(())
    }

    fn backing(&self, fetch: impl Fn() -> Result<Bytes> + 'static) -> Backing {
        Backing { storage: Storage::new(fetch), dtype: self.dtype, numel: self.numel }
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

/// Returns the size of an element of any storage, those that are not read among them, in bytes.
fn element_size(class: &str) -> Option<usize> {
    storage_type(class).map(Dtype::size).or(match class {
        "ComplexDoubleStorage" => Some(16),
        "ComplexFloatStorage" => Some(8),
        "QInt32Storage" => Some(4),
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" | "UntypedStorage" => Some(1),
        _ => None,
    })
}

fn unread(pickle: &Pickle, id: Id) -> String {
    match pickle.node(id) {
        Node::Instance(_) | Node::Global(_) => {
            format!("a tensor has a storage that `{}` makes, which is not called", name(pickle, id))
        }
        _ => "a tensor has no storage".to_owned(),
    }
}

/// The storages of a file by their references. Tensors that share a storage share its bytes.
#[derive(Default)]
struct Storages(RefCell<HashMap<String, Backing>>);

impl Storages {
    fn find(
        &self,
        pickle: &Pickle,
        id: Id,
        find: &dyn Fn(&NamedStorage) -> Result<Backing>,
    ) -> Result<Result<Backing, String>> {
        let Node::Persistent(reference) = pickle.node(id) else { return Ok(Err(unread(pickle, id))) };
        let named = match NamedStorage::of(pickle, *reference) {
            Ok(named) => named,
            Err(reason) => return Ok(Err(reason)),
        };
        // Two references with one key and another type or size are two storages.
        let key = format!("{} {:?} {}", named.key, named.dtype, named.numel);
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(Ok(known.clone()));
        }
        let backing = find(&named)?;
        self.0.borrow_mut().insert(key, backing.clone());
        Ok(Ok(backing))
    }
}
