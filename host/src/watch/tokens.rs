use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::watch::Live;

/// Bearer tokens, any of which authorises; none at all leaves every route open.
#[derive(Clone, Default)]
pub struct Tokens {
    given: Arc<[String]>,
    /// All of them, with the given ones.
    file: Option<Arc<Live<Arc<[String]>>>>,
}

impl Tokens {
    pub fn new(given: impl IntoIterator<Item = String>) -> Self {
        Tokens { given: given.into_iter().collect(), file: None }
    }

    /// And those of a file, one a line, which is read now and again whenever it changed: two are valid at once while one
    /// takes the other's place. A file that comes to hold none is not taken, for that would open every route.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let given = self.given.clone();
        let parse = move |bytes: &[u8]| Ok(given.iter().cloned().chain(parse(bytes)?).collect());
        let file = Live::new(path, parse).with_context(|| format!("no tokens of {}", path.display()))?;
        Ok(Tokens { file: Some(Arc::new(file)), ..self })
    }

    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.file.is_none()
    }

    /// Those that are valid now.
    pub(crate) fn current(&self) -> Arc<[String]> {
        match &self.file {
            None => self.given.clone(),
            Some(file) => Arc::clone(&file.get()),
        }
    }
}

impl Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("given", &self.given.len()).field("file", &self.file).finish()
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<String>> {
    // The error would quote what may be a token.
    let text = std::str::from_utf8(bytes).ok().context("it is not UTF-8")?;
    let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    ensure!(!tokens.is_empty(), "it holds no token");
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
        for (bytes, reason) in [(&b" \n\n"[..], "it holds no token"), (b"hidden\xff\n", "it is not UTF-8")] {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Tokens::default().with_file(&path).unwrap_err());
            assert!(error.contains(reason) && !error.contains("hidden"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", Tokens::default().with_file(&path).unwrap_err());
        assert!(error.contains("there is no such file"), "{error}");
    }
}
