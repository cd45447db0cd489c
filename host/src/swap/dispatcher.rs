//! Hands requests to the generation in service: short ones on the runtime's threads, long ones on threads of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Span;

use crate::config::Config;
use crate::sandbox::bindings::Outcome;
use crate::sandbox::cpu_budget::CallLimits;
use crate::swap::call::{Answer, AnswerError, Call};
use crate::swap::generation::Short;
use crate::swap::holder::Holder;
use crate::swap::publisher::Reloaded;
use crate::swap::snapshot::Snapshot;
use crate::work::crew::Crew;

/// The number of benchmarks that run or wait. Each takes up to a minute, so more of them would wait longer than their
/// clients do.
const BENCHMARKS: usize = 5;
/// The part of all requests in flight that may run long or wait for it. The others are left for predictions.
const LONG_SHARE: usize = 8;

/// Hands requests to the generation in service. Its limits are those of the process, whatever the number of generations.
pub(crate) struct Dispatcher {
    /// Runs calls that take long.
    long: Crew,
    /// Runs one benchmark at a time, so that they do not measure each other, and delay no other long call.
    benchmarks: Crew,
    /// A permit is a request that runs long, or waits for it. A forced reload is one.
    long_places: Semaphore,
    benchmark_places: Semaphore,
    call_time: Duration,
    long_call_time: Duration,
}

/// The way in which a long call runs.
struct Stay {
    time: Duration,
    /// True if no other thread helps.
    is_alone: bool,
}

/// The work that a request needs after its short call.
enum Rest {
    Reload,
    Long(Duration),
    Benchmark,
}

impl Dispatcher {
    pub(crate) fn new(config: &Config) -> Self {
        let long = Crew::new("sac-long", config.workers.max(1));
        let benchmarks = Crew::new("sac-benchmark", 1);
        let places = (config.max_in_flight / LONG_SHARE).clamp(1, Semaphore::MAX_PERMITS);
        Dispatcher {
            long,
            benchmarks,
            long_places: Semaphore::new(places),
            benchmark_places: Semaphore::new(BENCHMARKS),
            call_time: config.sandbox.call_time,
            long_call_time: config.sandbox.long_call_time,
        }
    }

    /// Answers a request by what `holder` has in service now, which is `current`. If the answer takes long, it is given up when `gone` resolves, which says
    /// that the client does not wait any more.
    pub(crate) async fn answer(
        &self,
        holder: &Arc<Holder>,
        call: Arc<Call>,
        tokens: Arc<[String]>,
        current: &Snapshot,
        gone: impl Future<Output = ()>,
    ) -> Result<Answer, AnswerError> {
        let generation = &current.generation;
        let rest = match generation.answer(&call, &current.context(&tokens, None)).await? {
            Short::Done(Outcome::Respond(response)) => return Ok(Answer { response, generation: generation.clone() }),
            Short::Done(Outcome::Reload) => Rest::Reload,
            Short::Done(Outcome::Long) => Rest::Long(self.long_call_time),
            Short::Done(Outcome::Benchmark) => Rest::Benchmark,
            // The generation has computed the parts of a batch before it returns.
            Short::Done(Outcome::Split(_)) => return Err(AnswerError::NoAnswer("did not finish a batch")),
            Short::Overran => Rest::Long(self.call_time),
        };
        tokio::select! {
            response = self.finish(rest, holder, call, tokens) => response,
            () = gone => Err(AnswerError::Gone),
        }
    }

    async fn finish(
        &self,
        rest: Rest,
        holder: &Arc<Holder>,
        call: Arc<Call>,
        tokens: Arc<[String]>,
    ) -> Result<Answer, AnswerError> {
        match rest {
            Rest::Reload => {
                let _place = place(&self.long_places, "reloads or long requests")?;
                let Reloaded { outcome, snapshot } = holder.force_reload().await;
                let generation = snapshot.generation.clone();
                match generation.answer(&call, &snapshot.context(&tokens, Some(outcome))).await? {
                    Short::Done(Outcome::Respond(response)) => Ok(Answer { response, generation }),
                    _ => Err(AnswerError::NoAnswer("did not answer after a reload")),
                }
            }
            Rest::Long(time) => {
                let _place = place(&self.long_places, "reloads or long requests")?;
                self.run(&self.long, holder, call, tokens, Stay { time, is_alone: false }).await
            }
            Rest::Benchmark => {
                let _place = place(&self.benchmark_places, "benchmarks")?;
                // It measures one thread, and leaves the others to those who wait for an answer.
                let stay = Stay { time: self.long_call_time, is_alone: true };
                self.run(&self.benchmarks, holder, call, tokens, stay).await
            }
        }
    }

    /// Runs a call on a thread of `crew`, by what is in service when it begins. So a call that waits keeps no generation
    /// alive.
    async fn run(
        &self,
        crew: &Crew,
        holder: &Arc<Holder>,
        call: Arc<Call>,
        tokens: Arc<[String]>,
        Stay { time, is_alone }: Stay,
    ) -> Result<Answer, AnswerError> {
        let (holder, span) = (holder.clone(), Span::current());
        let outcome = crew.run(move |interest| {
            let current = holder.latest();
            let limits = CallLimits { interest: Some(interest.clone()), ..time.into() };
            let answer = || {
                let outcome =
                    current.generation.answer_blocking(&call, &current.context(&tokens, None), limits, is_alone);
                outcome.map(|outcome| (outcome, current.generation.clone()))
            };
            span.in_scope(answer)
        });
        match outcome.await?? {
            (Outcome::Respond(response), generation) => Ok(Answer { response, generation }),
            _ => Err(AnswerError::NoAnswer("did not answer a call that may block")),
        }
    }
}

/// Takes a place, or says that there are too many of `what`.
fn place<'a>(places: &'a Semaphore, what: &'static str) -> Result<SemaphorePermit<'a>, AnswerError> {
    places.try_acquire().map_err(|_| AnswerError::Busy(what))
}
