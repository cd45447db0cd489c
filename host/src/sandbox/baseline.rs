//! The instructions that compiled code uses.

use anyhow::Result;
use wasmtime::Config;

/// Lets all processors with AVX2 share one artefact, so that it can be installed with the program.
///
/// wasmtime would use whatever this processor has, and so make code that one of another model refuses. Beyond these instructions,
/// which x86-64-v3 names, is little that 128 bits of WebAssembly's lanes could use.
#[cfg(target_arch = "x86_64")]
pub(super) fn fix(config: &mut Config) -> Result<()> {
    let has_all = is_x86_feature_detected!("sse3")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("cmpxchg16b")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    if !has_all {
        return Ok(());
    }
    // With a target, wasmtime adds no instruction of this processor by itself.
    config.target(env!("SAC_TARGET"))?;
    for flag in [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_cmpxchg16b",
        "has_popcnt",
        "has_avx",
        "has_avx2",
        "has_fma",
        "has_bmi1",
        "has_bmi2",
        "has_lzcnt",
    ] {
        // SAFETY: the processor has the instructions. wasmtime checks it once more.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    Ok(())
}

/// The instructions of other processors are those that wasmtime finds.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn fix(_config: &mut Config) -> Result<()> {
    Ok(())
}
