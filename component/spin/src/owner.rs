//! Keeps the actor on the newest checkpoint, and asks it for responses. This module speaks no HTTP.

use anyhow::{Result, bail};
use sac_owner::{Content, Environment, Freshness, Source};

use crate::wit;

/// The one instance of the actor, and the checkpoint that it serves.
pub struct Owner {
    service: wit::Service,
    source: Source,
    freshness: Freshness,
    /// The number of checkpoints that this instance has published.
    generation: u64,
    tokens: Vec<String>,
    /// The largest size of a request body, in bytes.
    pub max_body_bytes: u64,
}

impl Owner {
    /// Serves nothing until the first request loads a checkpoint.
    pub fn new(environment: Environment) -> Self {
        let service = wit::Service::new(&wit::RouterConfig {
            name: environment.model_name.to_string(),
            optimised: environment.jit,
            operator_facts: wit::OperatorFacts {
                activation: environment.activation.map(Into::into),
                action_bounds: environment.action_bounds.map(Into::into),
            },
            on_refusal: environment.on_bad_checkpoint.into(),
            max_batch: environment.max_batch,
            max_body_bytes: environment.max_body_bytes,
            // It has one instance.
            splits: false,
        });
        Owner {
            service,
            source: environment.source,
            freshness: Freshness::default(),
            generation: 0,
            tokens: environment.token.into_iter().collect(),
            max_body_bytes: environment.max_body_bytes,
        }
    }

    /// Answers with the newest checkpoint. A file call takes 0.1 ms under Spin, so the files are checked once, and again
    /// only after a reload.
    pub fn answer(&mut self, request: &wit::Request) -> Result<wit::Response> {
        let (mut refusal, changed) = self.judge();
        if changed {
            // `judge` reports a refusal.
            let _ = self.renew(false);
            refusal = self.judge().0;
        }
        match self.ask(request, refusal, None) {
            wit::Outcome::Respond(response) => return Ok(response),
            wit::Outcome::Split(_) => bail!("the actor answered `split`, which this owner does not act on"),
            wit::Outcome::Long | wit::Outcome::Benchmark => bail!("the actor answered `long` where it may block"),
            wit::Outcome::Reload => {}
        }
        let reloaded = self.renew(true);
        match self.ask(request, self.judge().0, Some(reloaded)) {
            wit::Outcome::Respond(response) => Ok(response),
            _ => bail!("the actor did not answer after a reload"),
        }
    }

    /// Returns the refusal of a newer checkpoint, and `true` if there is a checkpoint to try.
    fn judge(&self) -> (Option<wit::Refusal>, bool) {
        let judgement = self.freshness.judge(&self.source);
        (judgement.refusal.map(|refused| refused.as_ref().into()), judgement.changed)
    }

    fn ask(
        &self,
        request: &wit::Request,
        refusal: Option<wit::Refusal>,
        reloaded: Option<Result<(), String>>,
    ) -> wit::Outcome {
        let absence =
            if self.generation == 0 { self.source.absence().map(|absence| absence.to_string()) } else { None };
        let context = wit::RequestContext {
            tokens: self.tokens.clone(),
            refusal,
            absence,
            reloaded,
            may_block: true,
            wants_decision: false,
        };
        self.service.answer(request, &context)
    }

    /// Loads the newest checkpoint that differs, or with `forced` the newest one. The error is for the client.
    fn renew(&mut self, forced: bool) -> Result<(), String> {
        let number = self.generation + 1;
        let renewal =
            self.freshness.renew(&self.source, forced, |content| self.load(content, number).map_err(Into::into));
        self.freshness = renewal.freshness;
        self.generation += u64::from(renewal.loaded.is_some());
        renewal.outcome.map_err(|error| error.to_string())
    }

    fn load(&self, content: Content, generation: u64) -> Result<(), String> {
        let checkpoint = wit::Checkpoint {
            path: content.path.to_string_lossy().into_owned(),
            modified: content.identity.modified.into(),
            loaded: content.read_at.into(),
            sha256: content.sha256,
            generation,
        };
        let sidecars = content.sidecars.into_iter().map(Into::into).collect();
        self.service.load(&checkpoint, &wit::File { bytes: content.bytes, sidecars }, None).map(|_| ())
    }
}
