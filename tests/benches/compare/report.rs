//! The table of figures.

use std::fmt::Write;
use std::fs;

use anyhow::Result;

use crate::measure::Measured;

/// A Markdown table of all figures, each with its ratio to the first server, the ceiling, and with the least and the largest
/// ratio of a round.
pub fn table(peers: &[Measured]) -> Result<String> {
    let mut table = format!("On {}.\n\n|", machine()?);
    for name in [""].into_iter().chain(peers.iter().map(|peer| peer.server.kind.name())) {
        write!(table, " {name} |")?;
    }
    write!(table, "\n|{}\n", "---|".repeat(peers.len() + 1))?;
    for name in names(peers) {
        write!(table, "| {name} |")?;
        let ceiling = peers.first().and_then(|peer| peer.figures.row(name));
        for (place, peer) in peers.iter().enumerate() {
            match (peer.figures.row(name), ceiling) {
                (None, _) => write!(table, " – |")?,
                (Some(row), Some(ceiling)) if place > 0 => {
                    let (ratio, [low, high]) = row.ratio(ceiling);
                    write!(table, " {} (× {ratio:.2}", shown(row.value(), row.unit))?;
                    // A figure that was measured once has no spread.
                    if low != high {
                        write!(table, "; {low:.2} to {high:.2}")?;
                    }
                    write!(table, ") |")?;
                }
                (Some(row), _) => write!(table, " {} |", shown(row.value(), row.unit))?,
            }
        }
        writeln!(table)?;
    }
    Ok(table)
}

/// The names of all figures, in the order of the server that has most of them.
fn names<'a>(peers: &'a [Measured]) -> impl Iterator<Item = &'a str> {
    let most = peers.iter().max_by_key(|peer| peer.figures.rows().len());
    most.into_iter().flat_map(|peer| peer.figures.rows()).map(|row| row.name.as_str())
}

/// Formats a figure with three digits and the prefix of its unit.
pub fn shown(value: f64, unit: &str) -> String {
    let (scaled, prefix) = match (unit, value) {
        ("s", 1.0..) => (value, " s"),
        ("s", 1e-3..) => (value * 1e3, " ms"),
        ("s", _) => (value * 1e6, " µs"),
        ("B", _) => (value / 1e6, " MB"),
        (_, 1000.0..) => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if scaled >= 100.0 { 0 } else { usize::from(scaled < 100.0) + usize::from(scaled < 10.0) };
    format!("{scaled:.digits$}{prefix}")
}

/// Names the processor, and the widest vectors that native code has on it.
fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| cpu.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let (model, flags) = (field("model name").trim_matches(['\t', ' ', ':']), field("flags"));
    let has = |flag: &str| flags.split(' ').any(|found| found == flag);
    let vectors = if has("avx512f") {
        "AVX-512"
    } else if has("avx2") {
        "AVX2"
    } else {
        "vectors of 128 bits"
    };
    Ok(format!("{} cores of {model} with {vectors}", std::thread::available_parallelism()?))
}
