//! Keeps one instance of the actor on the newest checkpoint of a source, and asks it for responses.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use sac_owner::settings::{ModelName, OnBadCheckpoint};
use sac_owner::{Content, Environment, Freshness, PolicyState, Source, State};

use crate::snapshot::Snapshot;
use crate::wit;

/// The largest size of a file whose sha256 the actor computes, for which it keeps the file. Few requests need the sha256, and the
/// first of an instance waits half as long without it: a model of Stable-Baselines3 has 3.3 MB, which take 10 ms.
const KEPT_BYTES: usize = 16 << 20;

/// The settings of all policies.
pub struct Shared {
    optimised: bool,
    operator_facts: wit::OperatorFacts,
    on_bad_checkpoint: OnBadCheckpoint,
    max_batch: u32,
    max_body_bytes: u64,
    tokens: Vec<String>,
}

/// A policy, and the files that it comes from.
pub struct Policy {
    service: wit::Service,
    source: Source,
    freshness: Freshness,
    /// The number of checkpoints that this instance of the gateway has published under the policy's name.
    generation: u64,
    /// The description of the checkpoint in service.
    loaded: Option<wit::Policy>,
    /// The reason for which the newest checkpoint was refused when the last request came.
    refusal: Option<String>,
    /// True once the files were judged.
    judged: bool,
    steady: Option<Steady>,
}

/// The files since before they were judged, if they hold nothing new and nothing that is refused.
struct Steady {
    files: Snapshot,
    /// From then on, they are to be judged again although they are the same.
    until: Instant,
}

impl Shared {
    pub fn new(environment: &Environment) -> Self {
        Shared {
            optimised: environment.jit,
            operator_facts: wit::OperatorFacts {
                activation: environment.activation.map(Into::into),
                action_bounds: environment.action_bounds.clone().map(Into::into),
            },
            on_bad_checkpoint: environment.on_bad_checkpoint,
            max_batch: environment.max_batch,
            max_body_bytes: environment.max_body_bytes,
            tokens: environment.token.iter().cloned().collect(),
        }
    }

    /// Makes an instance of the actor, without a policy.
    pub fn service(&self, name: &ModelName) -> wit::Service {
        wit::Service::new(&wit::RouterConfig {
            name: name.to_string(),
            optimised: self.optimised,
            operator_facts: self.operator_facts.clone(),
            on_refusal: self.on_bad_checkpoint.into(),
            max_batch: self.max_batch,
            max_body_bytes: self.max_body_bytes,
            // It has one instance.
            splits: false,
        })
    }

    /// Returns the context of a request that concerns no checkpoint.
    pub fn context(&self) -> wit::RequestContext {
        wit::RequestContext {
            tokens: self.tokens.clone(),
            refusal: None,
            absence: None,
            reloaded: None,
            may_block: true,
            wants_decision: false,
        }
    }
}

impl Policy {
    /// Serves nothing until the first request loads a checkpoint. `generation` counts those that were published before under
    /// the same name.
    pub fn new(service: wit::Service, source: Source, generation: u64) -> Self {
        let (freshness, loaded) = (Freshness::default(), None);
        Policy { service, source, freshness, generation, loaded, refusal: None, judged: false, steady: None }
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the paths of which [`Policy::answer`] takes a snapshot. There are none if it judges the files anyway.
    pub fn watched(&self) -> Option<Vec<PathBuf>> {
        let (paths, _) = self.source.watched()?;
        self.freshness.is_settled().then_some(paths)
    }

    /// Answers with the newest checkpoint. `now` is a snapshot that was taken since the request came. If it differs from the
    /// last one, or there is none, the files are judged.
    pub fn answer(&mut self, shared: &Shared, request: &wit::Request, now: Option<Snapshot>) -> Result<wit::Response> {
        let is_steady = |steady: &Steady| now.as_ref() == Some(&steady.files) && Instant::now() < steady.until;
        let refusal = if self.steady.as_ref().is_some_and(is_steady) { None } else { self.refresh(now) };
        match self.ask(shared, request, refusal, None) {
            wit::Outcome::Respond(response) => return Ok(response),
            wit::Outcome::Split(_) => bail!("the actor answered `split`, which this owner does not act on"),
            wit::Outcome::Long | wit::Outcome::Benchmark => bail!("the actor answered `long` where it may block"),
            wit::Outcome::Reload => {}
        }
        let reloaded = self.renew(true);
        self.steady = None;
        let refusal = self.judge().0;
        match self.ask(shared, request, refusal, Some(reloaded)) {
            wit::Outcome::Respond(response) => Ok(response),
            _ => bail!("the actor did not answer after a reload"),
        }
    }

    /// Describes the policy as the last request left it. `has_candidates` says so of its folder.
    pub fn state(&self, name: &str, has_candidates: bool) -> PolicyState<()> {
        let loaded = self.loaded.as_ref();
        PolicyState {
            name: name.to_owned(),
            state: State::of(loaded.is_some(), self.refusal.is_some(), has_candidates),
            detail: self.refusal.clone(),
            generation: loaded.map(|_| self.generation),
            state_dim: loaded.map(|policy| policy.state_dim),
            action_dim: loaded.map(|policy| policy.action_dim),
            stale: loaded.is_some() && self.refusal.is_some(),
            shadow: None,
        }
    }

    /// Puts the newest checkpoint into service. Returns the refusal of a newer one.
    fn refresh(&mut self, now: Option<Snapshot>) -> Option<wit::Refusal> {
        // Without a judgement before, all files are new.
        let (mut refusal, changed) = if self.judged { self.judge() } else { (None, true) };
        self.judged = true;
        if changed {
            // Only a judgement names a refusal, so it is needed only after one.
            let _ = self.renew(false);
            refusal = if self.is_loaded() && !self.freshness.has_refused() { None } else { self.judge().0 };
        }
        self.steady = self.steady(now);
        refusal
    }

    /// Returns the snapshot if it shows all that the last judgement looked at, and the judgement found nothing to say.
    fn steady(&self, now: Option<Snapshot>) -> Option<Steady> {
        let (paths, until) = self.source.watched()?;
        let files = now.filter(|files| self.freshness.is_settled() && files.is_of(&paths))?;
        Some(Steady { files, until })
    }

    /// Returns the refusal of a newer checkpoint, and `true` if there is a checkpoint to try.
    fn judge(&self) -> (Option<wit::Refusal>, bool) {
        let judgement = self.freshness.judge(&self.source);
        (judgement.refusal.map(|refused| refused.as_ref().into()), judgement.changed)
    }

    fn ask(
        &mut self,
        shared: &Shared,
        request: &wit::Request,
        refusal: Option<wit::Refusal>,
        reloaded: Option<Result<(), String>>,
    ) -> wit::Outcome {
        self.refusal = refusal.as_ref().map(|refusal| refusal.detail.clone());
        let absence = self.source.absence().map(|absence| absence.detail(self.is_loaded()));
        let context = wit::RequestContext { refusal, absence, reloaded, ..shared.context() };
        self.service.answer(request, &context)
    }

    /// Loads the newest checkpoint that differs, or with `forced` the newest one. The error is for the client.
    fn renew(&mut self, forced: bool) -> Result<(), String> {
        let number = self.generation + 1;
        let renewal =
            self.freshness.renew(&self.source, forced, |content| self.load(content, number).map_err(Into::into));
        self.freshness = renewal.freshness;
        if let Some(loaded) = renewal.loaded {
            self.loaded = Some(loaded);
            self.generation = number;
        }
        renewal.outcome.map_err(|error| error.to_string())
    }

    fn load(&self, content: Content, generation: u64) -> Result<wit::Policy, String> {
        let is_needed = content.bytes.len() > KEPT_BYTES || content.known_sha256().is_some();
        let sha256 = is_needed.then(|| content.sha256().to_owned());
        let checkpoint = wit::Checkpoint {
            path: content.path.to_string_lossy().into_owned(),
            modified: content.identity.modified.into(),
            loaded: content.read_at.into(),
            sha256,
            generation,
        };
        let sidecars = content.sidecars.into_iter().map(Into::into).collect();
        self.service.load(&checkpoint, &wit::File { bytes: content.bytes, sidecars }, None)
    }
}
