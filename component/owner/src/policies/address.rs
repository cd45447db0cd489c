//! Splits a path into the name of a policy and the path that the policy's component knows.

use crate::settings::ModelName;

/// A path of the component, and the policy that it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// The name of the policy, as the client sent it. It may be invalid, or no policy's. `None` selects the default policy.
    pub policy: Option<&'a str>,
    /// The path as the component knows it.
    pub path: &'a str,
}

impl<'a> Address<'a> {
    /// Returns the address of a path where there is no root.
    pub fn plain(path: &'a str) -> Self {
        Address { policy: None, path }
    }

    /// Returns the address of a path below `/policies/NAME`, of a model of the Open Inference Protocol, or of the default
    /// policy. `own` is the name of the model that is the default policy and none of the root, if there is one.
    pub fn of(path: &'a str, own: Option<&ModelName>) -> Self {
        let below = path.strip_prefix("/policies/").and_then(|rest| rest.find('/').map(|end| rest.split_at(end)));
        if let Some((name, path)) = below {
            return Address { policy: Some(name), path };
        }
        let model = path.strip_prefix("/v2/models/");
        let model = model.map(|rest| rest.split_once('/').map_or(rest, |(name, _)| name));
        Address { policy: model.filter(|name| own.is_none_or(|own| own.as_str() != *name)), path }
    }
}

/// The statuses by which the component refuses a request whatever the policy is.
pub const REFUSALS: [u16; 4] = [401, 404, 405, 413];

/// Returns `true` for the paths of the Open Inference Protocol, whose errors have another form.
pub fn is_open_inference(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_or_the_name_of_a_model_selects_the_policy() {
        for (path, policy, inner) in [
            ("/sac/predict", None, "/sac/predict"),
            ("/policies/a/sac/predict", Some("a"), "/sac/predict"),
            ("/policies/a/v2/models/b/infer", Some("a"), "/v2/models/b/infer"),
            ("/policies/a/policies/b/sac/predict", Some("a"), "/policies/b/sac/predict"),
            ("/policies//sac/predict", Some(""), "/sac/predict"),
            ("/policies/a/", Some("a"), "/"),
            ("/policies/a", None, "/policies/a"),
            ("/policies", None, "/policies"),
            ("/v2/models/a", Some("a"), "/v2/models/a"),
            ("/v2/models/a/versions/3/infer", Some("a"), "/v2/models/a/versions/3/infer"),
            ("/v2/models/", Some(""), "/v2/models/"),
            ("/v2/health/ready", None, "/v2/health/ready"),
        ] {
            assert_eq!(Address::of(path, None), Address { policy, path: inner }, "{path}");
        }
        assert_eq!(Address::plain("/policies/a/sac/predict").policy, None);
        let own = "a".parse().ok();
        assert_eq!(Address::of("/v2/models/a/infer", own.as_ref()).policy, None);
        assert_eq!(Address::of("/v2/models/b/infer", own.as_ref()).policy, Some("b"));
        assert_eq!(Address::of("/policies/a/sac/predict", own.as_ref()).policy, Some("a"));
    }
}
