use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::Result;

use crate::measure::{BATCHES, CONNECTIONS, Figures};
use crate::server::Kind;

/// One row of figures: what it is, how it is shown, and its value for each server.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    /// None where a server was not asked.
    pub value: fn(&Figures, usize) -> Option<f64>,
    pub index: usize,
}

impl Row {
    pub fn of(&self, figures: &Figures) -> Option<f64> {
        (self.value)(figures, self.index)
    }
}

/// All that was measured, as a Markdown table: each server's figure, and its ratio to the first, the ceiling.
pub fn table(peers: &[(Kind, Figures)]) -> Result<String> {
    let mut table = format!("On {}.\n\n|", machine()?);
    for name in [""].into_iter().chain(peers.iter().map(|(kind, _)| kind.name())) {
        write!(table, " {name} |")?;
    }
    write!(table, "\n|{}\n", "---|".repeat(peers.len() + 1))?;
    for row in rows() {
        write!(table, "| {} |", row.name)?;
        let ceiling = peers.first().and_then(|(_, figures)| row.of(figures));
        for (place, (_, figures)) in peers.iter().enumerate() {
            match (row.of(figures), ceiling) {
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
    let row = |name: &str, unit, value: fn(&Figures, usize) -> Option<f64>, index| Row {
        name: name.to_owned(),
        unit,
        value,
        index,
    };
    let mut rows = Vec::new();
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        let on = |what: &str| format!("{what}, {connections} connection{}", if connections == 1 { "" } else { "s" });
        rows.push(row(&on("predict p50"), "s", |f, i| time(f.http[i].p50), index));
        rows.push(row(&on("predict p99"), "s", |f, i| time(f.http[i].p99), index));
        rows.push(row(&on("predictions a second"), "", |f, i| Some(f.http[i].per_second), index));
    }
    for (index, batch) in BATCHES.into_iter().enumerate() {
        rows.push(row(&format!("forward pass, {batch}"), "s", |f, i| time(f.forward[i]), index));
    }
    rows.push(row("forced reload", "s", |f, _| time(f.load), 0));
    rows.push(row("first answer after a rename, p50", "s", |f, _| time(f.swap[0]), 0));
    rows.push(row("first answer after a rename, p99", "s", |f, _| time(f.swap[1]), 0));
    rows.push(row("p99.9 while swapped each 50 ms", "s", |f, _| time(f.disturbed), 0));
    rows.push(row("start to first answer", "s", |f, _| time(f.start), 0));
    rows.push(row("the very first start", "s", |f, _| f.first_start.and_then(time), 0));
    rows.push(row("resident at rest", "B", |f, _| Some(f.memory[0].0 as f64), 0));
    rows.push(row("of it anonymous", "B", |f, _| Some(f.memory[0].1 as f64), 0));
    rows.push(row("resident at the end", "B", |f, _| Some(f.memory[1].0 as f64), 0));
    rows
}

/// Three digits, with the unit's prefix.
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
