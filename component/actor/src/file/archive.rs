//! Reads the zip archives that PyTorch and Stable-Baselines3 write, within limits.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rawzip::{CompressionMethod, ZipArchive, crc32};

/// The most entries of an archive.
const MAX_ENTRIES: usize = 100_000;

/// The most bytes that the compressed entries of a file may unpack to, together. Weights hardly compress, so no
/// checkpoint needs as many.
const MAX_UNPACKED: usize = 64 << 20;

/// The cause of damage that a reader meets most often, and the remedy.
const INCOMPLETE: &str = "the file is incomplete or damaged. If it is still being written, write it under another name and \
                          rename it when it is complete; otherwise copy it again";

/// A zip archive.
#[derive(Clone)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

/// An entry of an archive, which is unpacked when it is read.
#[derive(Clone)]
pub struct Entry {
    name: String,
    compressed: Bytes,
    method: CompressionMethod,
    crc: u32,
    size: usize,
    /// The bytes that may still be unpacked. All entries of a file share it, those of nested archives too.
    budget: Rc<Cell<usize>>,
}

impl Archive {
    /// Opens an archive.
    pub fn open(bytes: &Bytes) -> Result<Self> {
        Archive::read(bytes, &Rc::new(Cell::new(MAX_UNPACKED)))
    }

    /// Opens an archive that is an entry of another one. `bytes` are those of [`Entry::read`].
    pub fn nested(entry: &Entry, bytes: &Bytes) -> Result<Self> {
        Archive::read(bytes, &entry.budget)
    }

    fn read(bytes: &Bytes, budget: &Rc<Cell<usize>>) -> Result<Self> {
        let zip = ZipArchive::from_slice(bytes)
            .with_context(|| format!("the end of the zip archive is missing: {INCOMPLETE}"))?;
        let mut entries = BTreeMap::new();
        for record in zip.entries() {
            let record = record.with_context(|| format!("the directory of the zip archive is broken: {INCOMPLETE}"))?;
            if record.is_dir() {
                continue;
            }
            ensure!(entries.len() < MAX_ENTRIES, "the zip archive has more than {MAX_ENTRIES} entries");
            let name = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
            let found = zip
                .get_entry(record.wayfinder())
                .with_context(|| format!("`{name}` of the zip archive: {INCOMPLETE}"))?;
            let entry = Entry {
                name: name.clone(),
                compressed: bytes.slice_ref(found.data()),
                method: record.compression_method(),
                crc: found.claim_verifier().crc,
                size: usize::try_from(record.uncompressed_size_hint())?,
                budget: budget.clone(),
            };
            ensure!(entries.insert(name.clone(), entry).is_none(), "the zip archive holds `{name}` twice");
        }
        Ok(Archive { entries })
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

impl Entry {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size after unpacking, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Unpacks the entry within the budget of the file, and verifies its CRC if there is one.
    pub fn read(&self) -> Result<Bytes> {
        let bytes = match self.method {
            CompressionMethod::STORE => self.compressed.clone(),
            CompressionMethod::DEFLATE => self.inflate()?,
            method => bail!(
                "`{}` of the zip archive is compressed by method {}: 0 or 8 is expected",
                self.name,
                method.as_u16()
            ),
        };
        // `torch.save` writes 0 where its `compute_crc32` is off.
        ensure!(
            bytes.len() == self.size && (self.crc == 0 || crc32(&bytes) == self.crc),
            "`{}` of the zip archive is damaged: its CRC is another",
            self.name
        );
        Ok(bytes)
    }

    fn inflate(&self) -> Result<Bytes> {
        let left = self.budget.get().checked_sub(self.size);
        let left = left.with_context(|| {
            format!("`{}` of the zip archive unpacks to {} bytes: too much for a checkpoint", self.name, self.size)
        })?;
        self.budget.set(left);
        match miniz_oxide::inflate::decompress_to_vec_with_limit(&self.compressed, self.size) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => bail!("`{}` of the zip archive is damaged: {error}", self.name),
        }
    }
}
