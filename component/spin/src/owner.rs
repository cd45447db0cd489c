use std::time::SystemTime;

use anyhow::{Result, bail};
use sac_owner::{Content, Freshness, Refused, Source, since_epoch};

use crate::config::Config;

mod bindings {
    wit_bindgen::generate!({ world: "owner", path: "../../wit" });
}

pub use bindings::sac::serving::serving as wit;

/// The one instance of the actor, and what it serves.
pub struct Owner {
    service: wit::Service,
    source: Source,
    freshness: Freshness,
    /// Counts what this instance has published.
    generation: u64,
    tokens: Vec<String>,
}

impl Owner {
    pub fn new(config: Config) -> Self {
        let service = wit::Service::new(wit::RouterConfig {
            optimised: config.jit,
            activation: config.activation,
            on_refusal: config.on_bad_checkpoint,
            max_batch: config.max_batch,
            max_body_bytes: config.max_body_bytes as u64,
        });
        let (source, tokens) = (config.source, config.tokens);
        Owner { service, source, freshness: Freshness::default(), generation: 0, tokens }
    }

    /// Answers from the newest checkpoint. A file call costs 0.1 ms here: the files are looked at once, and again only
    /// after a reload.
    pub fn answer(&mut self, request: &wit::Request) -> Result<wit::Response> {
        let (mut refusal, changed) = self.judge();
        if changed {
            let _ = self.renew(false);
            refusal = self.judge().0;
        }
        match self.ask(request, refusal, None) {
            wit::Outcome::Respond(response) => return Ok(response),
            wit::Outcome::Long | wit::Outcome::Benchmark => bail!("the actor answered `long` where it may block"),
            wit::Outcome::Reload => {}
        }
        let reloaded = self.renew(true);
        match self.ask(request, self.judge().0, Some(reloaded)) {
            wit::Outcome::Respond(response) => Ok(response),
            _ => bail!("the actor did not answer after a reload"),
        }
    }

    fn judge(&self) -> (Option<wit::Refusal>, bool) {
        let judgement = self.freshness.judge(&self.source);
        (judgement.refusal.map(|refused| told(refused)), judgement.changed)
    }

    fn ask(
        &self,
        request: &wit::Request,
        refusal: Option<wit::Refusal>,
        reloaded: Option<Result<(), String>>,
    ) -> wit::Outcome {
        let context = wit::RequestContext { tokens: self.tokens.clone(), refusal, reloaded, may_block: true };
        self.service.answer(request, &context)
    }

    /// The error is for the client who forced it.
    fn renew(&mut self, forced: bool) -> Result<(), String> {
        let number = self.generation + 1;
        let renewal = self.freshness.renew(&self.source, forced, |content| self.load(content, number));
        self.freshness = renewal.freshness;
        self.generation += u64::from(renewal.loaded.is_some());
        renewal.outcome
    }

    fn load(&self, content: Content, generation: u64) -> Result<(), String> {
        let checkpoint = wit::Checkpoint {
            path: content.path.to_string_lossy().into_owned(),
            modified: instant(content.identity.modified),
            loaded: instant(content.read_at),
            sha256: content.sha256,
            generation,
        };
        let vecnormalize = content.statistics.map(|statistics| statistics.bytes);
        self.service.load(&checkpoint, &wit::File { bytes: content.bytes, vecnormalize }, None).map(|_| ())
    }
}

fn told(refused: &Refused) -> wit::Refusal {
    wit::Refusal {
        path: refused.path().to_string_lossy().into_owned(),
        modified: instant(refused.modified()),
        detail: refused.detail.clone(),
        at: instant(refused.at),
    }
}

fn instant(time: SystemTime) -> wit::Instant {
    let (seconds, nanoseconds) = since_epoch(time);
    wit::Instant { seconds, nanoseconds }
}
