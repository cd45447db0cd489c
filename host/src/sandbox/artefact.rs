//! The component as machine code: compiled once, then mapped from a file of ours.
//!
//! What is mapped runs outside the sandbox, so that a file is trusted only when no one else can have written it: its
//! folder is this user's alone, its name is the component's digest and wasmtime's compatibility hash, and its content
//! has the sha256 that stands beside it.

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

/// Where artefacts are kept when nothing says otherwise: `sac-serving` in the user's cache folder.
pub fn default_cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("sac-serving"))
}

static EMBEDDED: &[u8] = include_bytes!(env!("SAC_ACTOR_COMPONENT"));

/// Maps the artefact of `component`, or else of the embedded one, from `cache`; or compiles it and keeps the artefact
/// there. A cache that cannot be used costs the compilation at each start, and a warning.
pub(crate) fn load_or_compile(engine: &Engine, component: Option<&[u8]>, cache: Option<&Path>) -> Result<Component> {
    // The digest of the embedded one is known: to take it again would bring all of it into memory.
    let digest = component.map_or_else(|| env!("SAC_ACTOR_SHA256").to_owned(), |bytes| hex(&Sha256::digest(bytes)));
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
    let when = if artefact.is_some() { "at the first start only" } else { "at each start, for want of a cache folder" };
    info!(bytes = component.len(), "compiling the component: some seconds, {when}");
    let start = Instant::now();
    let compiled =
        Component::new(engine, component).map_err(anyhow::Error::from).context("the component does not compile")?;
    info!(seconds = start.elapsed().as_secs_f32(), "compiled the component");
    let Some(artefact) = artefact else { return Ok(compiled) };
    if let Err(error) = artefact.store(&compiled.serialize()?) {
        warn!("the compiled component cannot be kept: {error:#}");
        return Ok(compiled);
    }
    // Mapped, the code costs memory only where it runs.
    let component = artefact.load(engine).unwrap_or(compiled);
    give_back_memory();
    Ok(component)
}

/// What the compiler freed stays with glibc's allocator otherwise: some 250 MB.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

struct Artefact {
    path: PathBuf,
}

impl Artefact {
    /// Of the component with this sha256.
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

    fn load(&self, engine: &Engine) -> Option<Component> {
        let expected = fs::read_to_string(self.digest_path()).ok()?;
        let found = self.check().and_then(|found| {
            ensure!(found == expected.trim(), "its sha256 is {found}, not {}", expected.trim());
            // SAFETY: the file is this user's own, in a folder that only this user can write (`ensure_private`), and
            // has the digest that was noted when this program wrote it from this component with this engine.
            Ok(unsafe { Component::deserialize_file(engine, &self.path) }?)
        });
        found.inspect_err(|error| warn!("{} is compiled anew: {error:#}", self.path.display())).ok()
    }

    fn check(&self) -> Result<String> {
        ensure_private(&self.path)?;
        let mut digest = Sha256::new();
        io::copy(&mut File::open(&self.path)?, &mut DigestWriter(&mut digest))?;
        Ok(hex(&digest.finalize()))
    }

    /// Each file appears whole or not at all, the digest last.
    fn store(&self, code: &[u8]) -> Result<()> {
        let digest = hex(&Sha256::digest(code));
        for (path, content) in [(&self.path, code), (&self.digest_path(), digest.as_bytes())] {
            let folder = path.parent().context("the cache has no folder")?;
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(content)?;
            file.persist(path)?;
        }
        Ok(())
    }
}

/// That a file or a folder is this user's, and that no one else can write it.
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_that_names_the_artefact_is_the_embedded_components() {
        assert_eq!(hex(&Sha256::digest(EMBEDDED)), env!("SAC_ACTOR_SHA256"));
    }
}
