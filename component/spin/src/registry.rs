//! The policies of a root that are loaded.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use sac_owner::settings::ModelName;
use sac_owner::{Policies, REFUSALS, Root};

use crate::policy::{Policy, Shared};
use crate::snapshot::Snapshot;
use crate::wit;

/// The policies of a root that requests asked for, and that were not evicted since.
pub struct Registry {
    root: Root,
    max_policies: usize,
    policies: HashMap<String, Used>,
    /// The number of the last generation of each policy that was evicted, so that none is used twice.
    numbers: HashMap<String, u64>,
    /// The number of requests so far.
    requests: u64,
}

/// A policy, and the number of the last request for it.
struct Used {
    policy: Policy,
    at: u64,
}

impl Registry {
    pub fn new(root: Root, max_policies: NonZeroUsize) -> Self {
        let (policies, numbers) = (HashMap::new(), HashMap::new());
        Registry { root, max_policies: max_policies.get(), policies, numbers, requests: 0 }
    }

    /// See [`Policy::watched`].
    pub fn watched(&self, name: &str) -> Option<Vec<PathBuf>> {
        self.policies.get(name)?.policy.watched()
    }

    /// Answers a request for a policy. One that is not loaded is loaded, unless the component refuses the request whatever
    /// the policy is, as that of a client that is not authorised.
    pub fn answer(
        &mut self,
        shared: &Shared,
        name: &str,
        request: &wit::Request,
        now: Option<Snapshot>,
    ) -> Result<wit::Response> {
        if !self.policies.get(name).is_some_and(|used| used.policy.is_loaded())
            && let Err(response) = self.open(shared, name, request)
        {
            return Ok(response);
        }
        self.requests += 1;
        let Some(used) = self.policies.get_mut(name) else { return Ok(wit::Response::not_found(&request.path)) };
        used.at = self.requests;
        used.policy.answer(shared, request, now)
    }

    /// Lists the policies, as the last request for each left it.
    pub fn list(&self, shared: &Shared, request: wit::Request) -> Result<wit::Response> {
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            return Ok(wit::Response::method_not_allowed());
        }
        // The component decides who is authorised.
        let request = wit::Request { method: "GET".to_owned(), path: "/sac/model/info".to_owned(), ..request };
        let service = shared.service(&ModelName::default());
        if let wit::Outcome::Respond(response) = service.answer(&request, &shared.context())
            && response.status == 401
        {
            return Ok(response);
        }
        let Ok(names) = self.root.names() else { return Ok(wit::Response::no_storage(&request.path)) };
        let has_candidates = |name: &str| names.iter().any(|known| known.as_str() == name);
        let known = self.policies.iter().map(|(name, used)| used.policy.state(name, has_candidates(name)));
        wit::Response::json(200, &Policies::new(known, &names))
    }

    /// Makes a policy that loads its checkpoint when it is asked. The error is a response that takes none.
    fn open(&mut self, shared: &Shared, name: &str, request: &wit::Request) -> Result<(), wit::Response> {
        let parsed = name.parse::<ModelName>();
        let service = shared.service(parsed.as_ref().unwrap_or(&ModelName::default()));
        // It answers from the head of the request.
        let body = match request.body {
            wit::Body::Complete(_) => wit::Body::Complete(Vec::new()),
            wit::Body::OverLimit => wit::Body::OverLimit,
        };
        let head = wit::Request { body, ..request.clone() };
        if let wit::Outcome::Respond(response) = service.answer(&head, &shared.context())
            && REFUSALS.contains(&response.status)
        {
            return Err(response);
        }
        let name = parsed.map_err(|_| wit::Response::not_found(&request.path))?;
        let exists = self.root.contains(&name).map_err(|_| wit::Response::no_storage(&request.path))?;
        if !exists {
            self.evict(name.as_str());
            return Err(wit::Response::not_found(&request.path));
        }
        if !self.policies.contains_key(name.as_str()) {
            self.make_room();
            let number = self.numbers.get(name.as_str()).copied().unwrap_or(0);
            let policy = Policy::new(service, self.root.source(&name), number);
            self.policies.insert(name.to_string(), Used { policy, at: 0 });
        }
        Ok(())
    }

    /// Evicts the policies that were asked for least recently, until there is room for another.
    fn make_room(&mut self) {
        while self.policies.len() >= self.max_policies {
            let oldest = self.policies.iter().min_by_key(|(_, used)| used.at).map(|(name, _)| name.clone());
            let Some(name) = oldest else { return };
            self.evict(&name);
        }
    }

    fn evict(&mut self, name: &str) {
        if let Some(Used { policy, .. }) = self.policies.remove(name) {
            self.numbers.insert(name.to_owned(), policy.generation());
        }
    }
}
