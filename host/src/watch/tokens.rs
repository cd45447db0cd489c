//! The bearer tokens that authorise requests.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

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
    pub(crate) fn current(&self) -> Arc<[String]> {
        match &self.file {
            None => self.given.clone(),
            Some(file) => Arc::clone(&file.get()),
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
    let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    ensure!(!tokens.is_empty(), "the file holds no token");
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "hidden-1\n\n hidden-2 \n").unwrap();
        let tokens = Tokens::new(["hidden-3".to_owned()]).with_file(&path).unwrap();
        assert_eq!(*tokens.current(), ["hidden-3", "hidden-1", "hidden-2"]);
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
    fn a_blank_path_is_an_error_and_not_the_default_folder_of_checkpoints() {
        for blank in ["", " "] {
            let error = format!("{:#}", Tokens::default().with_file(Path::new(blank)).unwrap_err());
            assert_eq!(error, "the token file is refused: the path is blank");
        }
    }
}
