//! The settings of an owner that has no command line: environment variables alone supply them.

use std::ffi::OsString;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use thiserror::Error;

use crate::candidates::Source;
use crate::policies::Root;
use crate::settings::{
    self, ActionBounds, Activation, DefaultPolicy, InvalidDefaultPolicy, ModelName, OnBadCheckpoint, defaults,
    is_blank, variables,
};
use crate::text::one_line;

/// The settings that environment variables supply. A blank variable counts as unset.
pub struct Environment {
    /// The checkpoint files.
    pub source: Source,
    /// The folder of further policies.
    pub root: Option<Root>,
    /// The policy that answers `/sac/…`.
    pub default_policy: DefaultPolicy,
    /// The number of policies of the root that are loaded at once; at least 1.
    pub max_policies: NonZeroUsize,
    /// The name of the model in paths.
    pub model_name: ModelName,
    /// Selects the optimised backend.
    pub jit: bool,
    /// The activation of checkpoints that do not contain it.
    pub activation: Option<Activation>,
    /// The action bounds of checkpoints that do not contain them.
    pub action_bounds: Option<ActionBounds>,
    /// Decides how the routes that need a policy answer after a checkpoint is refused.
    pub on_bad_checkpoint: OnBadCheckpoint,
    /// The largest size of a request body, in bytes.
    pub max_body_bytes: u64,
    /// The largest number of states in a batch.
    pub max_batch: u32,
    /// The bearer token, without white space around it.
    pub token: Option<String>,
}

/// A variable has a value that its setting does not take.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// The value is not UTF-8. It may be a token, and is not quoted.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The value cannot be parsed.
    #[error("invalid value {value:?} for {variable}: {}", one_line(reason))]
    Invalid {
        /// The name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The reason, in one line.
        reason: String,
    },
    /// Two settings contradict each other.
    #[error(transparent)]
    DefaultPolicy(#[from] InvalidDefaultPolicy),
}

impl Environment {
    /// Reads the settings. `variable` returns the value of a variable, as [`std::env::var_os`] does.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, EnvironmentError> {
        let set = Variables(variable);
        let [model, dir, vecnormalize, root, home] =
            [variables::MODEL, variables::DIR, variables::VECNORMALIZE, variables::ROOT, "HOME"]
                .map(|name| set.path(name));
        let default = set.parsed(variables::DEFAULT, str::parse)?;
        let default_policy = DefaultPolicy::select(default, root.is_some(), model.is_some() || dir.is_some())?;
        let mut source = Source::new(model.as_deref(), dir.as_deref(), home.as_deref())
            .with_vecnormalize(vecnormalize.as_deref(), home.as_deref());
        source.patterns = set.parsed(variables::PATTERN, str::parse)?.unwrap_or_default();
        source.limits.max_bytes =
            set.parsed(variables::MAX_CHECKPOINT_BYTES, settings::bytes)?.unwrap_or(defaults::MAX_CHECKPOINT_BYTES);
        let root = root.map(|folder| Root::new(&folder, home.as_deref(), source.clone()));
        Ok(Environment {
            source,
            root,
            default_policy,
            max_policies: set.parsed(variables::MAX_POLICIES, str::parse)?.unwrap_or(defaults::GATEWAY_MAX_POLICIES),
            model_name: set.parsed(variables::MODEL_NAME, str::parse)?.unwrap_or_default(),
            jit: set.parsed(variables::JIT, settings::boolean)?.unwrap_or(defaults::JIT),
            activation: set.parsed(variables::ACTIVATION, str::parse)?,
            action_bounds: set.parsed(variables::ACTION_BOUNDS, str::parse)?,
            on_bad_checkpoint: set.parsed(variables::ON_BAD_CHECKPOINT, str::parse)?.unwrap_or_default(),
            max_body_bytes: set
                .parsed(variables::MAX_BODY_BYTES, settings::bytes)?
                .unwrap_or(defaults::MAX_BODY_BYTES as u64),
            max_batch: set.parsed(variables::MAX_BATCH, str::parse)?.unwrap_or(defaults::MAX_BATCH),
            token: set.text(variables::API_TOKEN)?.map(|token| token.trim().to_owned()),
        })
    }
}

/// Returns the value of a variable.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !is_blank(value))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, EnvironmentError> {
        let text = self.value(name).map(OsString::into_string).transpose();
        text.map_err(|_| EnvironmentError::NotUtf8(name))
    }

    fn parsed<T, E: Display>(
        &self,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, EnvironmentError> {
        let Some(value) = self.text(variable)? else { return Ok(None) };
        match parse(&value) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => Err(EnvironmentError::Invalid { variable, value, reason: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;
    use crate::settings::Patterns;

    fn read(set: &[(&str, &str)]) -> Result<Environment, String> {
        let value = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
        Environment::read(value).map_err(|error| error.to_string())
    }

    #[test]
    fn unset_and_blank_variables_give_the_defaults() {
        for blank in ["", " \n"] {
            let names = [variables::MODEL, variables::DIR, variables::JIT, variables::API_TOKEN, variables::MAX_BATCH]
                .into_iter()
                .chain([variables::ACTION_BOUNDS, variables::PATTERN, variables::VECNORMALIZE])
                .collect::<Vec<_>>();
            let read = read(&names.iter().map(|name| (*name, blank)).collect::<Vec<_>>()).expect("read");
            assert_eq!(read.source.path(), Path::new(defaults::FOLDER));
            assert!(read.jit && read.token.is_none() && read.activation.is_none());
            assert!(read.action_bounds.is_none() && read.source.vecnormalize.is_none());
            assert_eq!(read.source.patterns, Patterns::default());
            assert_eq!(read.source.limits.max_bytes, defaults::MAX_CHECKPOINT_BYTES);
            assert_eq!((read.max_batch, read.max_body_bytes), (defaults::MAX_BATCH, defaults::MAX_BODY_BYTES as u64));
            assert_eq!(read.on_bad_checkpoint, OnBadCheckpoint::Keep);
        }
    }

    #[test]
    fn each_setting_is_read_from_its_variable() {
        let read = read(&[
            (variables::MODEL, "~/model.onnx"),
            ("HOME", "/home"),
            (variables::JIT, "Off"),
            (variables::API_TOKEN, "token\n"),
            (variables::ACTIVATION, "leaky_relu"),
            (variables::ACTION_BOUNDS, "-2:2"),
            (variables::PATTERN, "best_*,*.pkl"),
            (variables::VECNORMALIZE, "~/v.pkl"),
            (variables::ON_BAD_CHECKPOINT, "fail"),
            (variables::MAX_CHECKPOINT_BYTES, "1"),
            (variables::MAX_BODY_BYTES, "4GiB"),
            (variables::MAX_BATCH, "3"),
        ])
        .expect("read");
        assert_eq!(read.source.path(), Path::new("/home/model.onnx"));
        assert!(!read.jit && read.token.as_deref() == Some("token"));
        assert_eq!(read.activation, Some(Activation::LeakyRelu));
        assert_eq!(read.action_bounds, Some(ActionBounds { low: vec![-2.0], high: vec![2.0] }));
        assert_eq!(Ok(read.source.patterns), "best_*,*.pkl".parse());
        assert_eq!(read.source.vecnormalize.as_deref(), Some(Path::new("/home/v.pkl")));
        assert_eq!(read.on_bad_checkpoint, OnBadCheckpoint::Fail);
        assert_eq!((read.source.limits.max_bytes, read.max_body_bytes, read.max_batch), (1, 1 << 32, 3));
        assert!(read.root.is_none() && read.default_policy == DefaultPolicy::Source);
    }

    #[test]
    fn the_policies_of_a_root_have_the_limits_and_patterns_of_all() {
        let set = [(variables::ROOT, "~/root"), ("HOME", "/home"), (variables::PATTERN, "*.pkl")];
        let read_with = |more: &[(&str, &str)]| read(&[&set, more].concat());
        let root = read_with(&[]).expect("read");
        assert_eq!((root.default_policy, root.max_policies), (DefaultPolicy::None, defaults::GATEWAY_MAX_POLICIES));
        let name = "a".parse::<ModelName>().expect("a name");
        assert_eq!(root.root.expect("a root").source(&name).to_string(), "/home/root/a/*.pkl");
        let named = read_with(&[(variables::DEFAULT, "a"), (variables::MAX_POLICIES, "3")]).expect("read");
        assert_eq!((named.default_policy, named.max_policies.get()), (DefaultPolicy::Named(name), 3));
        let own = read_with(&[(variables::DIR, "/models")]).expect("read");
        assert_eq!(own.default_policy, DefaultPolicy::Source);
        for more in [variables::MODEL, variables::DIR] {
            let error = read_with(&[(variables::DEFAULT, "a"), (more, "/models")]).err().expect("two policies");
            assert!(error.starts_with("--default (SAC_DEFAULT) excludes "), "{error}");
        }
        let error = read(&[(variables::DEFAULT, "a")]).err().expect("no root");
        assert!(error.ends_with("--root (SAC_ROOT), which is not set"), "{error}");
        let error = read_with(&[(variables::MAX_POLICIES, "0")]).err().expect("no policy");
        assert!(error.contains("SAC_MAX_POLICIES"), "{error}");
    }

    #[test]
    fn an_invalid_value_is_an_error_that_names_the_variable() {
        let error = |name, value| read(&[(name, value)]).err().expect("an error");
        assert_eq!(
            error(variables::ON_BAD_CHECKPOINT, "Keep"),
            "invalid value \"Keep\" for SAC_ON_BAD_CHECKPOINT: expected one of keep, fail"
        );
        assert!(error(variables::JIT, "maybe").ends_with("for STAT_PAIR_RL_JIT: value was not a boolean"));
        assert!(error(variables::ACTION_BOUNDS, "1").contains("for SAC_ACTION_BOUNDS: expected `unit`"));
        assert!(error(variables::PATTERN, "a/b").contains("for SAC_PATTERN: `a/b` contains a `/`"));
        assert!(error(variables::MAX_BATCH, "many").starts_with("invalid value \"many\" for SAC_MAX_BATCH: "));
    }

    #[test]
    fn the_gateways_readme_lists_each_variable() {
        let asked = RefCell::new(Vec::new());
        let note = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            None
        };
        assert!(Environment::read(note).is_ok());
        let readme = include_str!("../../spin/README.md");
        for name in asked.into_inner().iter().filter(|name| *name != "HOME") {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}
