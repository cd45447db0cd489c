//! The component as machine code, compiled once and then mapped from a file.
//!
//! The mapped code runs outside the sandbox. So the file is trusted only if nobody else can have written it: the file and its
//! folder belong to this user or to root, and nobody else can write them, its name contains the component's digest and
//! wasmtime's compatibility hash, and its content has the sha256 that is stored beside it. The file that was checked is the one
//! that is mapped: it is opened once.
//!
//! The artefact may be installed with the program, in `share/sac-serving` beside the program's `bin`.

mod folder;

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rayon::ThreadPoolBuilder;
use sac_owner::path_line;
use sha2::{Digest, Sha256};
use tracing::{debug, info, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use self::folder::PrivateFolder;

static EMBEDDED: &[u8] = include_bytes!(env!("SAC_ACTOR_COMPONENT"));

/// Maps the artefact of `component`, or of the embedded component, from the folder `cache`, or from where it was installed. If
/// there is none, compiles the component and stores the artefact. A cache that cannot be used costs a warning, and the compilation at each start.
pub(crate) fn load_or_compile(engine: &Engine, component: Option<&[u8]>, cache: Option<&Path>) -> Result<Component> {
    // The digest of the embedded component is known. Computing it would read all of the component into memory.
    let digest = component.map_or_else(|| env!("SAC_ACTOR_SHA256").to_owned(), sha256);
    let component = component.unwrap_or(EMBEDDED);
    let artefact = cache.and_then(|path| match PrivateFolder::open(path) {
        Ok(folder) => Some(Artefact::new(engine, &digest, folder)),
        Err(error) => {
            warn!("the compiled component cannot be kept in {}: {error:#}", path_line(path));
            None
        }
    });
    if let Some(found) = artefact.as_ref().and_then(|artefact| artefact.load(engine)) {
        return Ok(found);
    }
    if let Some(found) = installed().and_then(|folder| Artefact::new(engine, &digest, folder).load(engine)) {
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

/// Opens the folder of artefacts that was installed with the program, if there is one that can be trusted.
fn installed() -> Option<PrivateFolder> {
    let program = std::env::current_exe().ok()?;
    let path = program.parent()?.parent()?.join("share/sac-serving");
    let folder = PrivateFolder::existing(&path);
    folder.inspect_err(|error| warn!("the compiled component that was installed is not used: {error:#}")).ok().flatten()
}

fn compile(engine: &Engine, component: &[u8], is_kept: bool) -> Result<Component> {
    let when = if is_kept { "at the first start only" } else { "at each start, because there is no cache folder" };
    info!(bytes = component.len(), "compiling the component: this takes some seconds, {when}");
    let start = Instant::now();
    // A pool of its own, so that the compiler's threads end with it.
    let compiler = ThreadPoolBuilder::new().build().context("the compiler's threads do not start")?;
    let compiled = compiler.install(|| Component::new(engine, component))?;
    info!("compiled the component in {:.2} s", start.elapsed().as_secs_f32());
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
    folder: PrivateFolder,
    name: String,
}

impl Artefact {
    /// `component` is the component's sha256.
    fn new(engine: &Engine, component: &str, folder: PrivateFolder) -> Self {
        let mut compatibility = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        Artefact { folder, name: format!("{}-{:016x}.cwasm", &component[..32], compatibility.finish()) }
    }

    fn digest_name(&self) -> String {
        format!("{}.sha256", self.name)
    }

    /// Maps the file, or returns `None` if it is missing or cannot be trusted.
    fn load(&self, engine: &Engine) -> Option<Component> {
        let found = self.find(engine);
        let path = self.folder.path(&self.name);
        found.inspect_err(|error| warn!("{} is compiled again: {error:#}", path_line(&path))).ok().flatten()
    }

    fn find(&self, engine: &Engine) -> Result<Option<Component>> {
        let digest_name = self.digest_name();
        let (Some(digest), Some(code)) = (self.folder.file(&digest_name)?, self.folder.file(&self.name)?) else {
            return Ok(None);
        };
        let (expected, found) = (read_digest(digest)?, sha256_of(&code)?);
        ensure!(expected == found.as_bytes(), "its sha256 is {found}, and {digest_name} says another");
        let path = self.folder.path_to(&self.name, &code)?;
        // SAFETY: only this user or root can have written the file (`PrivateFolder`), and it has the digest that was stored when
        // this library wrote it from this component with this engine.
        Ok(Some(unsafe { map(engine, &code, path.as_deref()) }?))
    }

    /// Writes the file and then its digest. Each appears whole or not at all.
    fn store(&self, code: &[u8]) -> Result<()> {
        self.folder.write(&self.name, code)?;
        self.folder.write(&self.digest_name(), sha256(code).as_bytes())
    }
}

/// Maps an open file of machine code. Where nothing leads to it, or it cannot be mapped, the code is copied into memory.
///
/// # Safety
///
/// The file is one that [`Component::deserialize_file`] may load.
unsafe fn map(engine: &Engine, mut code: &File, path: Option<&Path>) -> Result<Component> {
    // wasmtime maps paths and no open files.
    if let Some(path) = path {
        // SAFETY: the caller's promise.
        match unsafe { Component::deserialize_file(engine, path) } {
            Ok(component) => return Ok(component),
            // A file system may allow no code, for example.
            Err(error) => debug!("the compiled component is not mapped, but read: {error:#}"),
        }
    }
    let mut bytes = Vec::new();
    code.rewind()?;
    code.read_to_end(&mut bytes)?;
    // SAFETY: as above.
    Ok(unsafe { Component::deserialize(engine, bytes) }?)
}

/// Reads a stored digest. Of longer content it reads more than a digest has, which therefore matches none.
fn read_digest(file: File) -> Result<Vec<u8>> {
    let mut digest = Vec::new();
    file.take(128).read_to_end(&mut digest)?;
    Ok(digest.trim_ascii().to_vec())
}

fn sha256_of(mut file: &File) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut DigestWriter(&mut digest))?;
    Ok(hex::encode(digest.finalize()))
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
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// An unusual growth has a cause, most often a registry of tract's that keeps operators alive which no policy has: see
    /// `component/inventory` and `onnx/operators` in the actor.
    #[test]
    fn the_component_has_at_most_eight_megabytes() {
        assert!(EMBEDDED.len() <= 8_000_000, "{} bytes", EMBEDDED.len());
    }

    fn stored(engine: &Engine) -> (TempDir, Artefact) {
        let folder = tempfile::tempdir().unwrap();
        let cache = PrivateFolder::open(&folder.path().join("cache")).unwrap();
        let artefact = Artefact::new(engine, &sha256(EMPTY), cache);
        assert!(artefact.load(engine).is_none());
        artefact.store(&Component::new(engine, EMPTY).unwrap().serialize().unwrap()).unwrap();
        assert!(artefact.load(engine).is_some());
        (folder, artefact)
    }

    #[test]
    fn the_digest_that_names_the_artefact_is_the_embedded_components() {
        assert_eq!(sha256(EMBEDDED), env!("SAC_ACTOR_SHA256"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_put_in_the_place_of_the_checked_folder_is_not_mapped() {
        let engine = Engine::default();
        let (folder, artefact) = stored(&engine);
        let cache = folder.path().join("cache");
        fs::rename(&cache, folder.path().join("moved")).unwrap();
        fs::create_dir(&cache).unwrap();
        for name in [artefact.name.clone(), artefact.digest_name()] {
            fs::write(cache.join(name), "another's").unwrap();
        }
        assert!(artefact.load(&engine).is_some(), "the folder that was checked is the one that is used");
        fs::remove_file(folder.path().join("moved").join(artefact.digest_name())).unwrap();
        assert!(artefact.load(&engine).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_fifo_in_the_place_of_a_file_delays_nothing_and_is_replaced() {
        let engine = Engine::default();
        let (folder, artefact) = stored(&engine);
        let code = artefact.find(&engine).unwrap().unwrap().serialize().unwrap();
        for name in [artefact.name.clone(), artefact.digest_name()] {
            let path = folder.path().join("cache").join(&name);
            fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            let error = artefact.find(&engine).err().unwrap().to_string();
            assert!(error.ends_with(&format!("{name} is not a regular file")), "{error}");
            artefact.store(&code).unwrap();
            assert!(artefact.load(&engine).is_some());
        }
    }

    #[test]
    fn a_digest_that_does_not_fit_is_not_repeated() {
        let engine = Engine::default();
        let (folder, artefact) = stored(&engine);
        let path = folder.path().join("cache").join(artefact.digest_name());
        let right = fs::read_to_string(&path).unwrap();
        for wrong in ["secret", "\u{ff}", &"0".repeat(64), &format!("{right} and more"), ""] {
            fs::write(&path, wrong).unwrap();
            let error = artefact.find(&engine).err().unwrap().to_string();
            let is_silent = wrong.is_empty() || !error.contains(wrong);
            assert!(error.ends_with(".cwasm.sha256 says another") && is_silent, "{error}");
        }
        fs::write(&path, format!("{right}\n")).unwrap();
        assert!(artefact.load(&engine).is_some());
    }
}
