//! Errors in one line, as answers and logs repeat them.

/// The most characters of an error. One of a library may quote the file at length.
const MAX: usize = 2000;

/// Joins the lines of an error, and cuts it.
pub fn one_line(error: &anyhow::Error) -> String {
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
