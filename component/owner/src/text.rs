//! Text that comes from files and clients, made fit for one line of a log or a terminal.

use std::borrow::Cow;
use std::path::Path;

/// Longer text loses its middle: a reason begins at the front, and the name of a file stands at the end of its path.
const MAX_CHARS: usize = 2000;
const KEPT_CHARS: usize = MAX_CHARS / 2 - 1;

/// Makes text fit for one line: what moves the cursor, ends the line, changes the direction or has no width is escaped as
/// Rust does, such as `\n` or `\u{202e}`, and at most 2,000 characters remain. Text from a file or a client goes through
/// this wherever it becomes a part of a message. A second call changes nothing.
pub fn one_line(text: &str) -> Cow<'_, str> {
    // No character is shorter than a byte.
    if text.len() <= MAX_CHARS && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    if fitting(text.chars(), MAX_CHARS) == text.len() {
        return Cow::Owned(escaped(text));
    }
    let head = fitting(text.chars(), KEPT_CHARS);
    let tail = text.len() - fitting(text.chars().rev(), KEPT_CHARS);
    Cow::Owned(format!("{}…{}", escaped(&text[..head]), escaped(&text[tail..])))
}

/// Makes a path fit for one line, as [`one_line`] does.
pub fn path_line(path: &Path) -> Cow<'_, str> {
    match path.to_string_lossy() {
        Cow::Borrowed(text) => one_line(text),
        Cow::Owned(text) => Cow::Owned(one_line(&text).into_owned()),
    }
}

/// Returns text as one word of a POSIX shell.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "._-/+:@%=,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("'{}'", text.replace('\'', r"'\''"))),
    }
}

/// Returns the number of bytes of the characters, from the first, that fit when they are escaped.
fn fitting(chars: impl Iterator<Item = char>, max_chars: usize) -> usize {
    let mut room = max_chars;
    let fits = |c: &char| {
        let left = room.checked_sub(if is_hidden(*c) { c.escape_default().len() } else { 1 });
        room = left.unwrap_or(0);
        left.is_some()
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Returns `true` for control characters, the separators of lines, and what Unicode calls default ignorable: the controls
/// of direction, joiners, fillers, tags and selectors of variants.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_is_borrowed_as_it_is() {
        let long = "x".repeat(MAX_CHARS);
        for text in ["", "model_1.onnx", "a b\\c'd\"e", "modèle_é_雪_🎉\u{a0}\u{fffd}", &long] {
            assert!(matches!(one_line(text), Cow::Borrowed(line) if line == text), "{text}");
            assert!(matches!(path_line(Path::new(text)), Cow::Borrowed(line) if line == text), "{text}");
        }
        let letters = "é".repeat(MAX_CHARS);
        assert_eq!(one_line(&letters), letters, "characters count, and not bytes");
    }

    #[test]
    fn what_forges_lines_moves_the_cursor_or_hides_text_is_escaped() {
        assert_eq!(one_line("a\nb\r\tc\0"), "a\\nb\\r\\tc\\u{0}");
        assert_eq!(one_line("\x1b]0;owned\x07\x7f\u{9b}31m"), "\\u{1b}]0;owned\\u{7}\\u{7f}\\u{9b}31m");
        assert_eq!(one_line("evil\u{202e}xnno.txt"), "evil\\u{202e}xnno.txt");
        let mut hidden =
            "\u{85}\u{ad}\u{61c}\u{115f}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}".to_owned();
        hidden += "\u{202a}\u{2060}\u{2066}\u{2069}\u{3164}\u{fe0f}\u{feff}\u{fffb}\u{e0041}";
        for c in hidden.chars() {
            assert_eq!(one_line(&format!("a{c}b")), format!("a\\u{{{:x}}}b", c as u32));
        }
        #[cfg(unix)]
        {
            let path = std::os::unix::ffi::OsStrExt::from_bytes(b"a\n\xff");
            assert_eq!(path_line(Path::new::<std::ffi::OsStr>(path)), "a\\n\u{fffd}");
        }
    }

    #[test]
    fn a_word_of_a_shell_is_quoted_where_the_shell_would_change_it() {
        for (text, word) in [
            ("a/b_1.pt", "a/b_1.pt"),
            ("model_*", "'model_*'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn long_text_loses_its_middle_and_no_escape_is_cut() {
        for text in ["x".repeat(MAX_CHARS + 1), "\x1b".repeat(MAX_CHARS), "é\u{e0041}".repeat(MAX_CHARS)] {
            let text = format!("begin {text} end");
            let line = one_line(&text);
            assert!(line.starts_with("begin ") && line.ends_with(" end"), "{line}");
            assert!(line.chars().count() <= MAX_CHARS && line.contains('…'), "{line}");
            assert_eq!(line.matches("\\u{").count(), line.matches('}').count(), "{line}");
            assert_eq!(one_line(&line), line, "a second call changes nothing");
        }
    }
}
