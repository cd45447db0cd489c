//! Makes instances of the component, empty or with a checkpoint loaded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sac_owner::Content;
use sac_owner::settings::ModelName;
use thiserror::Error;

use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::sandbox::bindings::{self, Backend, Checkpoint, OperatorFacts, Policy, RouterSettings};
use crate::sandbox::instance::{Blank, Instance, InstanceError};
use crate::sandbox::{Sandbox, artefact, engine};

/// Makes instances that all have the same component, limits and settings.
#[derive(Clone)]
pub(crate) struct InstanceFactory {
    sandbox: Arc<Sandbox>,
    settings: Arc<RouterSettings>,
    /// An instance made beforehand for the next load, of any policy.
    spare: Arc<Mutex<Option<Blank>>>,
}

/// The error of setting up a service or an inspector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// This machine cannot run the WebAssembly engine.
    #[error("the WebAssembly engine does not start")]
    Engine(#[source] anyhow::Error),
    /// The metrics cannot be registered.
    #[error("the metrics cannot be registered")]
    Metrics(#[source] anyhow::Error),
    /// [`Config::component`] is no WebAssembly component, or one that does not compile.
    #[error("the component does not compile")]
    Compile(#[source] anyhow::Error),
    /// The component lacks an export of the world `sac:serving/actor`, or has an import that the sandbox cannot link.
    #[error("the component does not link")]
    Link(#[source] anyhow::Error),
    /// The component does not start within [`Config::sandbox`].
    #[error("the component does not start")]
    Start(#[source] anyhow::Error),
}

/// The reason for which no instance holds a checkpoint, in one line.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    /// The machine has no room for an instance.
    #[error("no instance of the component can be made: {0:#}")]
    NoInstance(anyhow::Error),
    #[error(transparent)]
    Instance(InstanceError),
    /// The component refuses the checkpoint.
    #[error("{0}")]
    Refused(String),
}

impl LoadError {
    /// Returns `true` if the machine is at fault at this moment, and not the checkpoint.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            LoadError::NoInstance(_) => true,
            LoadError::Instance(error) => error.may_pass(),
            LoadError::Refused(_) => false,
        }
    }
}

impl InstanceFactory {
    /// Compiles the component, or maps the compiled artefact from the cache. Blocks.
    pub(crate) fn new(config: &Config) -> Result<Self, SetupError> {
        let policies = config.root.as_ref().map_or(0, |root| root.max_policies);
        let engine = engine::engine(&config.sandbox, config.workers, policies).map_err(SetupError::Engine)?;
        let metrics = Arc::new(Metrics::new().map_err(SetupError::Metrics)?);
        let component = artefact::load_or_compile(&engine, config.component.as_deref(), config.cache_dir.as_deref());
        let component = component.map_err(SetupError::Compile)?;
        let sandbox = Sandbox::new(engine, &component, config.sandbox.clone(), metrics).map_err(SetupError::Link)?;
        Ok(InstanceFactory { sandbox: Arc::new(sandbox), settings: Arc::new(config.into()), spare: Arc::default() })
    }

    /// Returns a factory of instances that know their policy by another name. They share everything else.
    pub(crate) fn named(&self, name: ModelName) -> Self {
        InstanceFactory { settings: Arc::new(self.settings.named(name)), ..self.clone() }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        self.sandbox.metrics()
    }

    /// Returns `true` if instances take a part of the memory that is kept for loading the next checkpoint.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.sandbox.budget.is_short()
    }

    /// Returns the facts that the operator supplies.
    pub(crate) fn facts(&self) -> OperatorFacts<'_> {
        self.settings.facts()
    }

    /// Makes an instance without a checkpoint. Blocks.
    pub(crate) fn instance(&self) -> anyhow::Result<Instance> {
        self.make(true)
    }

    fn make(&self, may_use_reserve: bool) -> anyhow::Result<Instance> {
        self.serve(self.blank(may_use_reserve)?, may_use_reserve)
    }

    fn blank(&self, may_use_reserve: bool) -> anyhow::Result<Blank> {
        Blank::new(self.sandbox.clone(), may_use_reserve)
    }

    fn serve(&self, blank: Blank, may_use_reserve: bool) -> anyhow::Result<Instance> {
        blank.serve(self.settings.config(), may_use_reserve)
    }

    /// Makes the instance for the next load, unless there is one. Blocks. Where there is no room, the load makes its own.
    pub(crate) fn prepare(&self) {
        if self.spare().is_none()
            && let Ok(blank) = self.blank(false)
        {
            *self.spare() = Some(blank);
        }
    }

    /// Loads a checkpoint into a new instance. Blocks. `backend` is given if it is known for this content. With
    /// `may_use_reserve`, the instance may use the memory that is kept for loading.
    pub(crate) fn loaded_instance(
        &self,
        content: &Content,
        generation: u64,
        backend: Option<Backend>,
        may_use_reserve: bool,
    ) -> Result<(Instance, Policy), LoadError> {
        // The first instance of a generation is what requests wait for.
        let spare = self.spare().take_if(|_| may_use_reserve);
        let blank = spare.map_or_else(|| self.blank(may_use_reserve), Ok);
        let instance = blank.and_then(|blank| self.serve(blank, may_use_reserve));
        let mut instance = instance.map_err(LoadError::NoInstance)?;
        let path = content.path.to_string_lossy();
        let checkpoint = Checkpoint {
            path: &path,
            modified: content.identity.modified.into(),
            loaded: content.read_at.into(),
            sha256: Some(content.sha256()),
            generation,
        };
        let loaded = bindings::with_file(content, |file| instance.load(checkpoint, file, backend, may_use_reserve));
        let policy = loaded.map_err(LoadError::Instance)?.map_err(LoadError::Refused)?;
        Ok((instance, policy))
    }

    /// Compares the kernel with tract for a checkpoint, on an instance of its own. Blocks. Returns what they differ in.
    pub(crate) fn compare(&self, content: &Content) -> Result<Option<String>, LoadError> {
        let mut instance = self.make(false).map_err(LoadError::NoInstance)?;
        let compared = bindings::with_file(content, |file| instance.compare(file, self.facts()));
        compared.map_err(LoadError::Instance)?.map_err(LoadError::Refused)
    }

    fn spare(&self) -> MutexGuard<'_, Option<Blank>> {
        // A panic cannot interrupt an assignment.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
