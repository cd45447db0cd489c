//! Finds the policy that a request is for.

use std::path::PathBuf;

use anyhow::Result;
use sac_owner::settings::{DefaultPolicy, ModelName};
use sac_owner::{Address, Environment};

use crate::policy::{Policy, Shared};
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::wit;

/// The policies of this instance of the gateway.
pub struct Owner {
    shared: Shared,
    /// The policy that the settings name, with its name, unless the default policy is one of the root or none.
    own: Option<(ModelName, Policy)>,
    /// The policies of the root, if there is one.
    registry: Option<Registry>,
    default_policy: DefaultPolicy,
    /// The largest size of a request body, in bytes.
    pub max_body_bytes: u64,
}

impl Owner {
    /// Reads no file yet.
    pub fn new(environment: Environment) -> Self {
        let shared = Shared::new(&environment);
        let Environment { source, model_name, root, default_policy, max_policies, max_body_bytes, .. } = environment;
        let own = matches!(default_policy, DefaultPolicy::Source)
            .then(|| (model_name.clone(), Policy::new(shared.service(&model_name), source, 0)));
        let registry = root.map(|root| Registry::new(root, max_policies));
        Owner { shared, own, registry, default_policy, max_body_bytes }
    }

    /// Returns the paths that decide whether the policy of a request's path is up to date, if nothing else does.
    pub fn watched(&self, path: &str) -> Option<Vec<PathBuf>> {
        let Owner { own, registry, default_policy, .. } = self;
        let address = address(path, own, registry);
        match (own, address.policy.or(default_policy.name()), registry) {
            (Some((_, own)), None, _) => own.watched(),
            (_, Some(name), Some(registry)) => registry.watched(name),
            _ => None,
        }
    }

    /// Answers a request. `now` holds the paths of [`Owner::watched`] as they are since the request came.
    pub fn answer(&mut self, mut request: wit::Request, now: Option<Snapshot>) -> Result<wit::Response> {
        let Owner { shared, own, registry, default_policy, .. } = self;
        let path = std::mem::take(&mut request.path);
        if let (Some(registry), "/policies") = (&registry, path.as_str()) {
            return registry.list(shared, request);
        }
        let address = address(&path, own, registry);
        request.path = address.path.to_owned();
        match (own, address.policy.or(default_policy.name()), registry) {
            (Some((_, own)), None, _) => own.answer(shared, &request, now),
            (_, Some(name), Some(registry)) => registry.answer(shared, name, &request, now),
            _ => Ok(wit::Response::not_found(&path)),
        }
    }
}

fn address<'a>(path: &'a str, own: &Option<(ModelName, Policy)>, registry: &Option<Registry>) -> Address<'a> {
    match registry {
        Some(_) => Address::of(path, own.as_ref().map(|(name, _)| name)),
        None => Address::plain(path),
    }
}
