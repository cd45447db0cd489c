//! Draws a report as SVG.

use std::fmt::Write;

use super::report::{Report, Time};

const WIDTH: f64 = 640.0;
const LABEL: f64 = 80.0;
const ROW: usize = 16;
const HEAD: usize = 44;

/// Draws the histogram, readable on a light and on a dark background.
pub fn svg(report: &Report) -> String {
    let rows = report.rows();
    let height = HEAD + rows.len() * ROW + 8;
    let most = rows.iter().map(|row| row.requests).max().unwrap_or(1).max(1) as f64;
    let times = report.latencies().into_iter().map(|(name, time)| format!("{name} {}", Time(time)));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<style>text {{ fill: #57606a }} rect {{ fill: #2da44e }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #adbac7 }} }}</style>\n\
         <text y=\"14\" font-weight=\"bold\">{:.0} requests a second over {} connections</text>\n\
         <text y=\"32\">{}</text>\n",
        report.per_second(),
        report.args.connections,
        times.collect::<Vec<_>>().join(", ")
    );
    for (index, row) in rows.iter().enumerate() {
        let (y, length) = (HEAD + index * ROW, row.requests as f64 / most * (WIDTH - LABEL - 70.0));
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<text y=\"{}\">≤ {}</text><rect x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            y + 10,
            Time(row.to),
            ROW - 4,
            LABEL + length + 6.0,
            y + 10,
            row.requests
        );
    }
    svg + "</svg>\n"
}
