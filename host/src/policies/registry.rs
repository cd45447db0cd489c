//! The policies of a root that are loaded.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use sac_owner::settings::{DefaultPolicy, ModelName, OnBadCheckpoint};
use sac_owner::{Address, Policies, Remedy, Root};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::config::{Config, RootConfig};
use crate::observe::metrics::{PolicyGauges, PolicyMetrics};
use crate::policies::find_error::FindError;
use crate::policies::policy::Policy;
use crate::policies::share;
use crate::policies::state;
use crate::sandbox::bindings::{Outcome, Response};
use crate::sandbox::factory::SetupError;
use crate::shadows::shadow::Shadow;
use crate::shadows::state::ShadowState;
use crate::swap::call::{AnswerError, Call};
use crate::swap::generation::{Generation, Short, Sizes};
use crate::swap::shared::Shared;
use crate::swap::snapshot::Snapshot;
use crate::work::lookout::Lookout;
use crate::work::watchdog::watch;

/// The policies of a root that requests asked for, and that were not evicted since.
pub(crate) struct Registry {
    pub(super) shared: Arc<Shared>,
    root: Arc<Root>,
    /// Lists the policies for requests that may come from anyone.
    pub(super) names: Lookout<Option<Arc<[ModelName]>>>,
    /// True if a refusal lets a policy answer nothing.
    pub(super) fails_on_refusal: bool,
    pub(super) settings: RootConfig,
    metrics: PolicyMetrics,
    /// The name of the default policy in paths of the Open Inference Protocol, if it is none of the root.
    own_name: Option<ModelName>,
    /// Written when a policy comes or goes, and read by every request.
    state: RwLock<State>,
    /// Answers requests that concern no policy: the component decides who is authorised.
    blank: Arc<Generation>,
    /// The name by which it knows a model.
    blank_name: ModelName,
    /// A permit is a request that looks for a policy that is not loaded.
    cold: Semaphore,
    pub(super) started: Instant,
    /// The time of the next search for policies that nobody uses, as [`Policy::used`].
    pub(super) next_sweep: AtomicU64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) policies: HashMap<String, Arc<Policy>>,
    /// The number of the last generation of each policy that was evicted, so that none is used twice.
    numbers: HashMap<String, u64>,
}

impl Registry {
    /// Makes a registry of policies that are not loaded, and blocks for an instance.
    pub(crate) fn new(shared: &Arc<Shared>, config: &Config, settings: &RootConfig) -> Result<Arc<Self>, SetupError> {
        let blank = Arc::new(Generation::empty(shared.factory(), Sizes::one(), shared.threads(), 0));
        blank.start().map_err(SetupError::Start)?;
        let root = Arc::new(Root::new(&settings.folder, None, config.source.clone()));
        let listed = root.clone();
        let own_name = matches!(settings.default, DefaultPolicy::Source).then(|| config.model_name.clone());
        let registry = Arc::new(Registry {
            shared: shared.clone(),
            names: shared.lookout(move || listed.names().ok().map(Into::into)),
            root,
            fails_on_refusal: config.on_bad_checkpoint == OnBadCheckpoint::Fail,
            settings: settings.clone(),
            metrics: shared.metrics().policies().map_err(SetupError::Metrics)?,
            own_name,
            state: RwLock::default(),
            blank,
            blank_name: config.model_name.clone(),
            cold: Semaphore::new(share(config.max_in_flight).min(Semaphore::MAX_PERMITS)),
            started: Instant::now(),
            next_sweep: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&registry);
        shared.makers().set_relief(move || {
            if let Some(registry) = weak.upgrade() {
                registry.relieve();
            }
        });
        if let Err(error) = watch(registry.clone()) {
            warn!("policies that nobody uses are not evicted, because a thread does not start: {error}");
        }
        Ok(registry)
    }

    pub(crate) fn settings(&self) -> &RootConfig {
        &self.settings
    }

    /// Returns the address of a path.
    pub(crate) fn address<'a>(&self, path: &'a str) -> Address<'a> {
        Address::of(path, self.own_name.as_ref())
    }

    /// Returns a policy for a request. One that is loaded costs a look-up. For any other, the root is asked, and with `soon`
    /// only as long as a request waits for files.
    pub(crate) async fn find(self: &Arc<Self>, name: &str, soon: bool) -> Result<Arc<Policy>, FindError> {
        if let Some(policy) = self.get(name) {
            return Ok(policy);
        }
        let name = name.parse::<ModelName>().map_err(|_| FindError::None)?;
        let registry = self.clone();
        let opened = self.shared.storage().run(move |_| registry.open(name));
        match soon {
            true => timeout(self.shared.reload_wait(), opened).await.map_err(|_| FindError::Late)??,
            false => opened.await?,
        }
    }

    /// Returns a place for a request that looks for a policy that is not loaded, if there is one.
    pub(crate) fn cold_place(&self) -> Option<SemaphorePermit<'_>> {
        self.cold.try_acquire().ok()
    }

    /// Returns a policy that is loaded.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Policy>> {
        let policy = self.read().policies.get(name).filter(|policy| policy.holder().has_policy())?.clone();
        policy.touch(self.started.elapsed());
        Some(policy)
    }

    /// Returns a policy that is loaded, or whose folder exists. Blocks.
    fn open(&self, name: ModelName) -> Result<Arc<Policy>, FindError> {
        let exists = self.root.contains(&name)?;
        let mut state = self.write();
        let known = state.policies.get(name.as_str()).cloned();
        let policy = match known {
            Some(policy) if exists || policy.holder().has_policy() => policy,
            Some(_) => {
                state.evict(name.as_str());
                return Err(FindError::None);
            }
            None if !exists => return Err(FindError::None),
            None => {
                let number = state.numbers.get(name.as_str()).copied().unwrap_or(0);
                let requests = self.metrics.requests(name.as_str());
                let policy = Arc::new(Policy::new(&self.shared, &self.root, name.clone(), number, requests));
                state.policies.insert(name.to_string(), policy.clone());
                policy
            }
        };
        policy.touch(self.started.elapsed());
        drop(state);
        self.shrink();
        Ok(policy)
    }

    /// Loads the policies of the root, if the settings ask for it.
    pub(crate) async fn preload(self: &Arc<Self>) {
        if !self.settings.preload {
            return;
        }
        let registry = self.clone();
        let names = match self.shared.storage().run(move |_| registry.root.names()).await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => return warn!("the root folder cannot be read, so nothing is loaded yet: {error}"),
            Err(error) => return warn!("nothing is loaded yet: {error}"),
        };
        let mut loads = JoinSet::new();
        for name in names.into_iter().take(self.settings.max_policies) {
            let registry = self.clone();
            loads.spawn(async move {
                if let Ok(policy) = registry.find(name.as_str(), false).await {
                    policy.holder().current().await;
                }
            });
        }
        loads.join_all().await;
    }

    /// Describes all policies, as the last request for each left it.
    pub(crate) async fn list(self: &Arc<Self>) -> Result<Policies<ShadowState>, FindError> {
        let registry = self.clone();
        let names = self.shared.storage().run(move |_| registry.root.names()).await??;
        let in_root = names.iter().map(ModelName::as_str).collect::<HashSet<_>>();
        let known = self.read().policies.values().cloned().collect::<Vec<_>>();
        let known = known.iter().map(|policy| state::of(policy, in_root.contains(policy.name().as_str())));
        Ok(Policies::new(known, &names))
    }

    /// Returns the steps that make a policy of the name NAME.
    pub(crate) fn remedies(&self) -> Vec<Remedy> {
        self.root.remedies()
    }

    /// Sets the metrics of all policies that are loaded or refused, as the last request for each left it.
    pub(crate) fn set_metrics(&self) {
        let gauges = |policy: &Arc<Policy>| {
            let Snapshot { generation, refusal, .. } = policy.holder().latest();
            let loaded = generation.loaded.as_ref();
            let loaded = loaded.map(|loaded| (generation.number, loaded.content.identity.modified));
            let is_known = loaded.is_some() || refusal.is_some();
            is_known.then(|| PolicyGauges { name: policy.name().to_string(), loaded, stale: refusal.is_some() })
        };
        let policies = self.read().policies.values().filter_map(gauges).collect::<Vec<_>>();
        self.metrics.set(&policies);
    }

    /// Returns the shadows of the policies that are loaded, with the names of these.
    pub(crate) fn shadows(&self) -> Vec<(String, Arc<Shadow>)> {
        let shadow = |policy: &Arc<Policy>| Some((policy.name().to_string(), policy.shadow()?.clone()));
        self.read().policies.values().filter_map(shadow).collect()
    }

    /// Lets the component answer a request that concerns no policy. Returns `None` if the answer takes a policy.
    pub(crate) async fn answer(&self, call: &Call, tokens: &Arc<[String]>) -> Result<Option<Response>, AnswerError> {
        let snapshot = Snapshot { generation: self.blank.clone(), refusal: None, absence: None };
        match self.blank.answer(call, &snapshot.context(tokens, None)).await? {
            Short::Done(Outcome::Respond(response)) => Ok(Some(response)),
            _ => Ok(None),
        }
    }

    /// Returns a path for [`Registry::answer`], which knows the model by another name.
    pub(crate) fn blank_path(&self, name: &str, path: &str) -> String {
        let rest = path.strip_prefix("/v2/models/").and_then(|rest| rest.strip_prefix(name));
        rest.map_or_else(|| path.to_owned(), |rest| format!("/v2/models/{}{rest}", self.blank_name))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic cannot interrupt an insertion or a removal.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes a policy. Its instances end when the last request that uses it does.
    pub(super) fn evict(&mut self, name: &str) -> Option<Arc<Policy>> {
        let policy = self.policies.remove(name)?;
        self.numbers.insert(name.to_owned(), policy.holder().latest().generation.number);
        Some(policy)
    }
}

/// The pattern of the candidates of all policies.
impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}
