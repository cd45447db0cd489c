//! The bearer tokens that authorise requests.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use crate::watch::WatchedFile;

/// Bearer tokens, any of which authorises a request. Without a token, every request is authorised.
#[derive(Clone, Default)]
pub struct Tokens {
    given: Arc<[String]>,
    /// The tokens of the file, and the given ones.
    file: Option<Arc<WatchedFile<Arc<[String]>>>>,
}

impl Tokens {
    /// Makes a set of fixed tokens.
    pub fn new(given: impl IntoIterator<Item = String>) -> Self {
        Tokens { given: given.into_iter().collect(), file: None }
    }

    /// Adds the tokens of a file, one a line. The file is read now, and again when it changes. Two tokens are valid at once
    /// while one replaces the other. A change that leaves the file without a token is refused, because it would authorise
    /// every request. Blocks.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not UTF-8 or holds no token.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let given = self.given.clone();
        let parse = move |bytes: &[u8]| Ok(given.iter().cloned().chain(parse(bytes)?).collect());
        let file = WatchedFile::new(path, parse).context("the token file is refused")?;
        Ok(Tokens { file: Some(Arc::new(file)), ..self })
    }

    /// Returns `true` if there is neither a token nor a file.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.file.is_none()
    }

    /// Returns the tokens that are valid now.
    pub(crate) async fn current(&self) -> Arc<[String]> {
        match &self.file {
            None => self.given.clone(),
            Some(file) => Arc::clone(&*file.get().await),
        }
    }
}

/// Shows how many tokens there are, and not the tokens.
impl Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("given", &self.given.len()).field("file", &self.file).finish()
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<String>> {
    // The error is dropped, because it would quote what may be a token.
    let text = std::str::from_utf8(bytes).ok().context("the file is not UTF-8")?;
    // Editors that save a byte order mark do not show it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim_ascii).enumerate().filter(|(_, line)| !line.is_empty());
    let tokens = lines.map(|(index, line)| check(line, index + 1)).collect::<Result<Vec<_>>>()?;
    ensure!(!tokens.is_empty(), "the file holds no token");
    Ok(tokens)
}

/// Returns the token of a line. A header carries no other characters than these, and a bearer token has no blanks (RFC 6750).
fn check(line: &str, number: usize) -> Result<String> {
    let found = match line.chars().find(|c| !c.is_ascii_graphic()) {
        None => return Ok(line.to_owned()),
        Some(' ' | '\t') => "a blank within it",
        Some(c) if c.is_ascii() => "a control character",
        Some(_) => "a character that is not ASCII",
    };
    bail!("line {number} has {found}; expected one token a line, of visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tokens_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "hidden-1\n\n hidden-2 \n").unwrap();
        let tokens = Tokens::new(["hidden-3".to_owned()]).with_file(&path).unwrap();
        assert_eq!(*tokens.current().await, ["hidden-3", "hidden-1", "hidden-2"]);
        let shown = format!("{tokens:?} {:?}", crate::Config { tokens: tokens.clone(), ..Default::default() });
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn a_file_without_a_token_is_an_error_that_does_not_quote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        for (bytes, reason) in [(&b" \n\n"[..], "the file holds no token"), (b"hidden\xff\n", "the file is not UTF-8")]
        {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Tokens::default().with_file(&path).unwrap_err());
            assert!(error.contains(reason) && !error.contains("hidden"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", Tokens::default().with_file(&path).unwrap_err());
        assert!(error.contains("there is no such file"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_token() {
        assert_eq!(parse(b"\xef\xbb\xbfhidden-1\r\nhidden-2\r\n").unwrap(), ["hidden-1", "hidden-2"]);
    }

    #[test]
    fn a_line_that_is_no_bearer_token_is_refused_by_its_number_and_not_quoted() {
        for (line, reason) in [
            ("hidden\u{e9}", "a character that is not ASCII"),
            ("hidden\u{a0}", "a character that is not ASCII"),
            ("\u{feff}hidden", "a character that is not ASCII"),
            ("hidden\0", "a control character"),
            ("hidden\u{1b}[2J", "a control character"),
            ("hidden\rhidden", "a control character"),
            ("hidden hidden", "a blank within it"),
            ("hidden\thidden", "a blank within it"),
        ] {
            let error = parse(format!("fine\n\n{line}\n").as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line 3 has {reason}; expected ")) && !error.contains("hidden"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_blank_path_is_an_error_and_not_the_default_folder_of_checkpoints() {
        for blank in ["", " "] {
            let error = format!("{:#}", Tokens::default().with_file(Path::new(blank)).unwrap_err());
            assert_eq!(error, "the token file is refused: the path is blank");
        }
    }
}
