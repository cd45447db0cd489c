//! The component as machine code, compiled once and then mapped from a file.
//!
//! The mapped code runs outside the sandbox. So the file is trusted only if nobody else can have written it: its folder
//! belongs to this user alone, its name contains the component's digest and wasmtime's compatibility hash, and its content
//! has the sha256 that is stored beside it.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

static EMBEDDED: &[u8] = include_bytes!(env!("SAC_ACTOR_COMPONENT"));

/// Maps the artefact of `component`, or of the embedded component, from the folder `cache`. If there is none, compiles the
/// component and stores the artefact. A cache that cannot be used costs a warning, and the compilation at each start.
pub(crate) fn load_or_compile(engine: &Engine, component: Option<&[u8]>, cache: Option<&Path>) -> Result<Component> {
    // The digest of the embedded component is known. Computing it would read all of the component into memory.
    let digest = component.map_or_else(|| env!("SAC_ACTOR_SHA256").to_owned(), sha256);
    let component = component.unwrap_or(EMBEDDED);
    let artefact = cache.and_then(|folder| match Artefact::new(engine, &digest, folder) {
        Ok(artefact) => Some(artefact),
        Err(error) => {
            warn!("the compiled component cannot be kept in {}: {error:#}", folder.display());
            None
        }
    });
    if let Some(found) = artefact.as_ref().and_then(|artefact| artefact.load(engine)) {
        return Ok(found);
    }
    let compiled = compile(engine, component, artefact.is_some())?;
    let Some(artefact) = artefact else { return Ok(compiled) };
    if let Err(error) = artefact.store(&compiled.serialize()?) {
        warn!("the compiled component cannot be kept: {error:#}");
        return Ok(compiled);
    }
    // Mapped code occupies memory only where it runs.
    let component = artefact.load(engine).unwrap_or(compiled);
    trim_heap();
    Ok(component)
}

fn compile(engine: &Engine, component: &[u8], is_kept: bool) -> Result<Component> {
    let when = if is_kept { "at the first start only" } else { "at each start, because there is no cache folder" };
    info!(bytes = component.len(), "compiling the component: this takes some seconds, {when}");
    let start = Instant::now();
    let compiled = Component::new(engine, component)?;
    info!(seconds = start.elapsed().as_secs_f32(), "compiled the component");
    Ok(compiled)
}

/// Returns the memory that the compiler freed to the system. glibc's allocator would keep some 250 MB.
fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A file of machine code in the cache folder.
struct Artefact {
    path: PathBuf,
}

impl Artefact {
    /// Creates the cache folder if needed. `component` is the component's sha256.
    fn new(engine: &Engine, component: &str, folder: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        ensure_private(folder)?;
        let mut compatibility = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        let name = format!("{}-{:016x}.cwasm", &component[..32], compatibility.finish());
        Ok(Artefact { path: folder.join(name) })
    }

    fn digest_path(&self) -> PathBuf {
        self.path.with_extension("cwasm.sha256")
    }

    /// Maps the file, or returns `None` if it is missing or cannot be trusted.
    fn load(&self, engine: &Engine) -> Option<Component> {
        let expected = fs::read_to_string(self.digest_path()).ok()?;
        let found = self.sha256().and_then(|found| {
            ensure!(found == expected.trim(), "its sha256 is {found}, not {}", expected.trim());
            // SAFETY: the file belongs to this user, in a folder that only this user can write (`ensure_private`), and
            // has the digest that was stored when this library wrote it from this component with this engine.
            Ok(unsafe { Component::deserialize_file(engine, &self.path) }?)
        });
        found.inspect_err(|error| warn!("{} is compiled again: {error:#}", self.path.display())).ok()
    }

    /// Returns the sha256 of the file, after a check that only this user can have written it.
    fn sha256(&self) -> Result<String> {
        ensure_private(&self.path)?;
        let mut digest = Sha256::new();
        io::copy(&mut File::open(&self.path)?, &mut DigestWriter(&mut digest))?;
        Ok(hex::encode(digest.finalize()))
    }

    /// Writes the file and then its digest. Each appears whole or not at all.
    fn store(&self, code: &[u8]) -> Result<()> {
        let digest = sha256(code);
        for (path, content) in [(&self.path, code), (&self.digest_path(), digest.as_bytes())] {
            let folder = path.parent().context("the path has no folder")?;
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(content)?;
            file.persist(path)?;
        }
        Ok(())
    }
}

/// Checks that a file or a folder belongs to this user, and that nobody else can write it.
fn ensure_private(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    let user = rustix::process::geteuid().as_raw();
    ensure!(!found.is_symlink(), "{} is a symlink", path.display());
    ensure!(found.uid() == user, "{} belongs to user {}, not to {user}", path.display(), found.uid());
    ensure!(found.mode() & 0o022 == 0, "others can write {} (mode {:o})", path.display(), found.mode() & 0o7777);
    Ok(())
}

struct DigestWriter<'a>(&'a mut Sha256);

impl Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_that_names_the_artefact_is_the_embedded_components() {
        assert_eq!(sha256(EMBEDDED), env!("SAC_ACTOR_SHA256"));
    }
}
