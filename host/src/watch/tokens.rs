//! The bearer tokens that authorise requests.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sac_owner::settings::ModelName;

use crate::watch::WatchedFile;

/// Bearer tokens, any of which authorises a request. Without a token, every request is authorised.
#[derive(Clone, Default)]
pub struct Tokens {
    given: Arc<[String]>,
    /// The tokens of the file, and the given ones.
    file: Option<Arc<WatchedFile<TokenSet>>>,
}

/// The tokens of one moment.
#[derive(Debug, PartialEq)]
struct TokenSet {
    /// Those that are valid for everything.
    all: Arc<[String]>,
    /// Those that are valid for a policy, by its name, if some are for it and not for everything.
    bound: HashMap<String, Arc<[String]>>,
}

/// A line of a token file.
struct Line {
    token: String,
    /// The policies that the token is valid for, or none if it is valid for everything.
    policies: Vec<String>,
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
        self.with_lines(path, token)
    }

    /// Adds the tokens of a file as [`Tokens::with_file`] does. A line may also name policies of a root after its token, which
    /// is then valid for these alone.
    ///
    /// # Errors
    ///
    /// Fails as [`Tokens::with_file`] does, or if a name is none.
    pub fn with_bound_file(self, path: &Path) -> Result<Self> {
        self.with_lines(path, bound_token)
    }

    fn with_lines(self, path: &Path, line: fn(&str, usize) -> Result<Line>) -> Result<Self> {
        let given = self.given.clone();
        let parse = move |bytes: &[u8]| Ok(TokenSet::new(&given, parse(bytes, line)?));
        let file = WatchedFile::new(path, parse).context("the token file is refused")?;
        Ok(Tokens { file: Some(Arc::new(file)), ..self })
    }

    /// Returns `true` if there is neither a token nor a file.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.file.is_none()
    }

    /// Returns the tokens that are valid now for a policy of the root, or for everything else.
    pub(crate) async fn current(&self, policy: Option<&str>) -> Arc<[String]> {
        match &self.file {
            None => self.given.clone(),
            Some(file) => file.get().await.of(policy).clone(),
        }
    }
}

impl TokenSet {
    /// No request has this token, because no header can carry it. An empty list would authorise every request.
    const NOBODY: &str = "\0";

    fn new(given: &[String], lines: Vec<Line>) -> Self {
        let free = lines.iter().filter(|line| line.policies.is_empty()).map(|line| &line.token);
        let free = given.iter().chain(free).cloned().collect::<Vec<_>>();
        let mut bound = HashMap::<String, Vec<String>>::new();
        for Line { token, policies } in lines {
            for policy in policies {
                bound.entry(policy).or_insert_with(|| free.clone()).push(token.clone());
            }
        }
        let bound = bound.into_iter().map(|(policy, tokens)| (policy, tokens.into())).collect();
        let all = if free.is_empty() { [Self::NOBODY.to_owned()].into() } else { free.into() };
        TokenSet { all, bound }
    }

    fn of(&self, policy: Option<&str>) -> &Arc<[String]> {
        policy.and_then(|policy| self.bound.get(policy)).unwrap_or(&self.all)
    }
}

/// Shows how many tokens there are, and not the tokens.
impl Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("given", &self.given.len()).field("file", &self.file).finish()
    }
}

fn parse(bytes: &[u8], line: fn(&str, usize) -> Result<Line>) -> Result<Vec<Line>> {
    // The error is dropped, because it would quote what may be a token.
    let text = std::str::from_utf8(bytes).ok().context("the file is not UTF-8")?;
    // Editors that save a byte order mark do not show it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim_ascii).enumerate().filter(|(_, line)| !line.is_empty());
    let tokens = lines.map(|(index, text)| line(text, index + 1)).collect::<Result<Vec<_>>>()?;
    ensure!(!tokens.is_empty(), "the file holds no token");
    Ok(tokens)
}

/// Reads a token, and the names of the policies that it is valid for.
fn bound_token(line: &str, number: usize) -> Result<Line> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let Line { token, .. } = token(words.next().unwrap_or_default(), number)?;
    let name = |word: &str| word.parse::<ModelName>().map(|name| name.to_string());
    let policies = words.map(name).collect::<Result<_, _>>();
    // The word is not quoted, because it may be a part of a token.
    let policies = policies.map_err(|error| anyhow!("line {number} has what is no name after its token: {error}"))?;
    Ok(Line { token, policies })
}

/// Reads a token. A header carries no other characters than these, and a bearer token has no blanks (RFC 6750).
fn token(line: &str, number: usize) -> Result<Line> {
    let found = match line.chars().find(|c| !c.is_ascii_graphic()) {
        None => return Ok(Line { token: line.to_owned(), policies: Vec::new() }),
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
        assert_eq!(*tokens.current(None).await, ["hidden-3", "hidden-1", "hidden-2"]);
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
        let lines = parse(b"\xef\xbb\xbfhidden-1\r\nhidden-2\r\n", token).unwrap();
        assert_eq!(lines.iter().map(|line| line.token.as_str()).collect::<Vec<_>>(), ["hidden-1", "hidden-2"]);
    }

    #[tokio::test]
    async fn a_token_with_names_is_valid_for_these_policies_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "free\nfirst a b\nsecond\tb \n").unwrap();
        let tokens = Tokens::new(["given".to_owned()]).with_bound_file(&path).unwrap();
        assert_eq!(*tokens.current(None).await, ["given", "free"]);
        assert_eq!(*tokens.current(Some("a")).await, ["given", "free", "first"]);
        assert_eq!(*tokens.current(Some("b")).await, ["given", "free", "first", "second"]);
        assert_eq!(*tokens.current(Some("c")).await, ["given", "free"]);
        // Without a token that is valid for everything, nothing is open.
        std::fs::write(&path, "first a\n").unwrap();
        let tokens = Tokens::default().with_bound_file(&path).unwrap();
        assert_eq!(*tokens.current(None).await, [TokenSet::NOBODY]);
        assert_eq!(*tokens.current(Some("b")).await, [TokenSet::NOBODY]);
        assert_eq!(*tokens.current(Some("a")).await, ["first"]);
        std::fs::write(&path, "fine\nhidden hid/den\n").unwrap();
        let error = format!("{:#}", Tokens::default().with_bound_file(&path).unwrap_err());
        assert!(error.contains("line 2 has what is no name after its token: ") && !error.contains("hid"), "{error}");
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
            let error = parse(format!("fine\n\n{line}\n").as_bytes(), token).err().unwrap().to_string();
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
