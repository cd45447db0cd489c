//! The program as the benchmarks build, find and watch it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub fn build() -> Result<()> {
    let status = Command::new(env!("CARGO")).args(["build", "--release"]).current_dir(workspace()).status()?;
    ensure!(status.success(), "sac-serving does not build");
    Ok(())
}

/// Beside the folder of this benchmark.
pub fn path() -> Result<PathBuf> {
    let this = env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).context("no target folder")?;
    Ok(folder.join("sac-serving"))
}

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a process holds resident, and the anonymous part of it, in bytes.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
        anyhow::Ok(line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").trim().parse::<u64>()? << 10)
    };
    Ok((field("VmRSS")?, field("RssAnon")?))
}
