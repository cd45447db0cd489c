//! The rows of figures, and the table of them.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::Result;

use crate::measure::{BATCHES, CONNECTIONS, Figures};
use crate::server::Kind;

/// One row of figures: its name, its unit, and its value for each server.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub value: Value,
}

/// Returns a figure of a server, or `None` if it was not measured.
type Value = Box<dyn Fn(&Figures) -> Option<f64>>;

/// A Markdown table of all figures, each with its ratio to the first server, the ceiling.
pub fn table(peers: &[(Kind, Figures)]) -> Result<String> {
    let mut table = format!("On {}.\n\n|", machine()?);
    for name in [""].into_iter().chain(peers.iter().map(|(kind, _)| kind.name())) {
        write!(table, " {name} |")?;
    }
    write!(table, "\n|{}\n", "---|".repeat(peers.len() + 1))?;
    for row in rows() {
        write!(table, "| {} |", row.name)?;
        let ceiling = peers.first().and_then(|(_, figures)| (row.value)(figures));
        for (place, (_, figures)) in peers.iter().enumerate() {
            match ((row.value)(figures), ceiling) {
                (None, _) => write!(table, " – |")?,
                (Some(value), Some(ceiling)) if place > 0 => {
                    write!(table, " {} (× {:.2}) |", shown(value, row.unit), value / ceiling)?;
                }
                (Some(value), _) => write!(table, " {} |", shown(value, row.unit))?,
            }
        }
        writeln!(table)?;
    }
    Ok(table)
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: &str, unit, value: Value| {
        rows.push(Row { name: name.to_owned(), unit, value });
    };
    for (i, connections) in CONNECTIONS.into_iter().enumerate() {
        let on = |what: &str| format!("{what}, {connections} connection{}", if connections == 1 { "" } else { "s" });
        row(&on("predict p50"), "s", Box::new(move |f| time(f.http[i].p50)));
        row(&on("predict p99"), "s", Box::new(move |f| time(f.http[i].p99)));
        row(&on("predictions a second"), "", Box::new(move |f| Some(f.http[i].per_second)));
    }
    for (i, batch) in BATCHES.into_iter().enumerate() {
        row(&format!("forward pass, {batch}"), "s", Box::new(move |f| time(f.forward[i])));
    }
    row("forced reload", "s", Box::new(|f| time(f.load)));
    row("first answer after a rename, p50", "s", Box::new(|f| time(f.swap[0])));
    row("first answer after a rename, p99", "s", Box::new(|f| time(f.swap[1])));
    row("p99.9 while swapped each 50 ms", "s", Box::new(|f| time(f.disturbed)));
    row("start to first answer", "s", Box::new(|f| time(f.start)));
    row("the very first start", "s", Box::new(|f| f.first_start.and_then(time)));
    row("resident at rest", "B", Box::new(|f| Some(f.memory[0].0 as f64)));
    row("of it anonymous", "B", Box::new(|f| Some(f.memory[0].1 as f64)));
    row("resident at the end", "B", Box::new(|f| Some(f.memory[1].0 as f64)));
    rows
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

fn time(time: Duration) -> Option<f64> {
    Some(time.as_secs_f64())
}

fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} cores of {}", model.trim_matches(['\t', ' ', ':'])))
}
