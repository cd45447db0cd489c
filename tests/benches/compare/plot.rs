//! Draws some of the rows of `report` as an SVG picture.

use std::fmt::Write;

use crate::measure::Measured;
use crate::report::shown;
use crate::server::Kind;

const PANELS: [&str; 6] = [
    "predict p50, 1 connection",
    "predictions a second, 16 connections",
    "forward pass, 1",
    "forced reload",
    "start to first answer",
    "resident at rest",
];
const WIDTH: usize = 760;
const LABEL: usize = 170;
const BAR: usize = 16;
const PANEL: usize = 26;

/// Bars on a scale of logarithms, a panel for each of a few figures; readable on light and on dark.
pub fn svg(peers: &[Measured]) -> String {
    let height = PANELS.len() * (PANEL + peers.len() * BAR) + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<style>text {{ fill: #57606a }} .title {{ font-weight: bold }} rect {{ fill: #8c959f }} \
         .ours {{ fill: #2da44e }}\n@media (prefers-color-scheme: dark) {{ text {{ fill: #adbac7 }} }}</style>\n"
    );
    for (index, name) in PANELS.into_iter().enumerate() {
        panel(&mut svg, name, peers, index * (PANEL + peers.len() * BAR));
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, name: &str, peers: &[Measured], top: usize) {
    let rows = peers.iter().filter_map(|peer| Some((peer.server.kind, peer.figures.row(name)?)));
    let values = rows.map(|(kind, row)| (kind, row.value(), row.unit)).collect::<Vec<_>>();
    let least = values.iter().map(|(_, value, _)| *value).fold(f64::INFINITY, f64::min);
    let most = values.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let room = (WIDTH - LABEL - 80) as f64;
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "<text class=\"title\" x=\"0\" y=\"{}\">{}</text>", top + 18, name);
    for (place, (kind, value, unit)) in values.into_iter().enumerate() {
        let y = top + PANEL + place * BAR;
        // The least is a tenth of the room, the most all of it.
        let share = if most > least { (value / least).ln() / (most / least).ln() } else { 1.0 };
        let length = room * (0.1 + 0.9 * share);
        let class = if kind == Kind::SacServing { " class=\"ours\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\">{}</text><rect{class} x=\"{LABEL}\" y=\"{y}\" width=\"{length:.0}\" height=\"{}\"/>\
             <text x=\"{:.0}\" y=\"{}\">{}</text>",
            y + 10,
            kind.name(),
            BAR - 4,
            LABEL as f64 + length + 6.0,
            y + 10,
            shown(value, unit)
        );
    }
}
