//! Builds the components and embeds the actor in the crate.
//!
//! `SAC_ACTOR_WASM=PATH` embeds the component at PATH (absolute, or relative to the workspace) and builds none. It is checked
//! like any other. The tests of the Spin application still build both components, by the command in spin.toml.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-wasip2";

/// The files and folders that the components are built from.
const INPUTS: [&str; 9] = [
    "component/actor/Cargo.toml",
    "component/actor/src",
    "component/kernel",
    "component/owner",
    "component/spin",
    "wit",
    ".cargo/config.toml",
    "Cargo.toml",
    "Cargo.lock",
];

/// The opcode of the relaxed fused multiply-add on f32x4: the SIMD prefix, then 0x105 as LEB128.
const RELAXED_MADD: [u8; 3] = [0xfd, 0x85, 0x02];

fn main() -> Result<()> {
    let workspace = workspace()?;
    println!("cargo::rerun-if-env-changed=SAC_ACTOR_WASM");
    let component = match env::var_os("SAC_ACTOR_WASM").filter(|path| !path.is_empty()) {
        Some(path) => {
            let path = workspace.join(path);
            println!("cargo::rerun-if-changed={}", path.display());
            path
        }
        None => {
            for input in INPUTS {
                println!("cargo::rerun-if-changed={}", workspace.join(input).display());
            }
            add_target()?;
            build_components(&workspace)?;
            workspace.join("target/component").join(TARGET).join("component/sac_actor.wasm")
        }
    };
    check_simd(&component)?;
    // This script owns the copy. If cargo watched the file above, every build would run the script again.
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("sac_actor.wasm");
    std::fs::copy(&component, &embedded)?;
    println!("cargo::rustc-env=SAC_ACTOR_COMPONENT={}", embedded.display());
    let digest = hex::encode(Sha256::digest(std::fs::read(&embedded)?));
    println!("cargo::rustc-env=SAC_ACTOR_SHA256={digest}");
    println!("cargo::rustc-env=SAC_TARGET={}", env::var("TARGET")?);
    Ok(())
}

/// Returns the top folder. It is not canonicalised, because Windows would return a path that takes no `/`.
fn workspace() -> Result<PathBuf> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    Ok(package.parent().context("this package is in no workspace")?.to_owned())
}

/// Adds the target if it is missing, as on a fresh machine.
fn add_target() -> Result<()> {
    let rustc = env::var("RUSTC")?;
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let libraries = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if output.status.success() && libraries.is_dir() {
        return Ok(());
    }
    let status = Command::new("rustup").args(["target", "add", TARGET]).status();
    let added = status.is_ok_and(|status| status.success());
    ensure!(added, "the Rust target {TARGET} is missing and `rustup target add {TARGET}` failed");
    Ok(())
}

fn build_components(workspace: &Path) -> Result<()> {
    let status = Command::new(env::var("CARGO")?)
        .arg("wasm")
        .current_dir(workspace)
        // Cargo sets these for a build script, and they outrank .cargo/config.toml: the SIMD flags would be lost.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "the components do not build; the output above says why");
    Ok(())
}

fn check_simd(component: &Path) -> Result<()> {
    let bytes = std::fs::read(component).with_context(|| format!("no component at {}", component.display()))?;
    let found = bytes.windows(RELAXED_MADD.len()).filter(|window| *window == RELAXED_MADD).count();
    // Constants may contain a few by chance.
    ensure!(
        found > 64,
        "{} was built without relaxed SIMD: do RUSTFLAGS outrank .cargo/config.toml?",
        component.display()
    );
    Ok(())
}
