//! Builds and finds the program for the benchmarks, and reads its memory.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub fn build() -> Result<()> {
    let status =
        Command::new(env!("CARGO")).args(["build", "--release"]).current_dir(sac_tests::workspace()).status()?;
    ensure!(status.success(), "sac-serving does not build");
    Ok(())
}

/// The program is beside the folder of this benchmark.
pub fn path() -> Result<PathBuf> {
    let this = env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).context("no target folder")?;
    Ok(folder.join("sac-serving"))
}

/// The resident memory of a process, and the anonymous part of it, in bytes.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    Ok((sac_tests::memory(process, "VmRSS")?, sac_tests::memory(process, "RssAnon")?))
}
