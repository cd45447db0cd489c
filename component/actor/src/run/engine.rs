//! The engine: the kernel or tract, and the choice between them.

use anyhow::Result;
use sac_kernel::Kernel;

use super::network;
use super::tract::{self, Tract};
use crate::load::Model;
use crate::model::{Forward, LogStd, Normalisation, Squashing};
use crate::onnx::Recognised;
use crate::wit::{Backend, Network};

/// A network on one of the backends.
pub enum Engine {
    /// Runs a network of linear layers.
    Kernel(Box<Kernel>),
    /// Runs any other graph, and every graph if the service is not optimised.
    Tract(Box<Tract>),
}

impl Engine {
    pub fn backend(&self) -> Backend {
        match self {
            Engine::Kernel(_) => Backend::Kernel,
            Engine::Tract(_) => Backend::Tract,
        }
    }

    /// Describes the kernel's network, with the normalisation before it, to an owner that can compute it with the same bits.
    pub fn network(&self, normalisation: Option<&Normalisation>) -> Option<Network> {
        match self {
            Engine::Kernel(kernel) => network::contract(kernel, normalisation),
            Engine::Tract(_) => None,
        }
    }

    /// Runs the network on row-major states [rows, state_dim], of which there must be at least one.
    pub fn run(&mut self, states: &[f32], log_std: bool) -> Result<Forward> {
        match self {
            Engine::Kernel(kernel) => {
                let mut forward = Forward::default();
                kernel.run(states, &mut forward.mean, log_std.then_some(&mut forward.log_std));
                Ok(forward)
            }
            Engine::Tract(tract) => tract.run(states),
        }
    }
}

/// The engine that was selected for a network, with what remains to be done before and after it.
pub struct Selected {
    pub engine: Engine,
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
}

impl Selected {
    /// Selects the kernel if the network was recognised and the kernel is proven, and tract otherwise. A given `backend` says
    /// which one was selected before.
    pub fn new(model: &Model, optimised: bool, backend: Option<Backend>) -> Result<Self> {
        if optimised
            && backend != Some(Backend::Tract)
            && let Some(mut fused) = Fused::of(model)
            && (backend.is_some() || fused.is_proven(model)?)
        {
            let Fused { kernel, squashing, inner, .. } = fused;
            let normalisation = model.normalisation.clone().or(inner);
            return Ok(Selected { engine: Engine::Kernel(Box::new(kernel)), normalisation, squashing });
        }
        let tract = Tract::new(model.network.network()?, optimised)?;
        let (normalisation, squashing) = (model.normalisation.clone(), model.squashing.clone());
        Ok(Selected { engine: Engine::Tract(Box::new(tract)), normalisation, squashing })
    }
}

/// Compares the kernel with tract. Returns what they differ in; `None` if they agree, or if the kernel cannot run the network.
///
/// # Errors
///
/// Fails if tract cannot run the network.
pub fn compare(model: &Model) -> Result<Option<String>> {
    Fused::of(model).map_or(Ok(None), |mut fused| fused.differs(model))
}

/// The kernel of recognised layers, with what a graph itself does before and after them.
struct Fused<'a> {
    recognised: &'a Recognised,
    kernel: Kernel,
    squashing: Squashing,
    inner: Option<Normalisation>,
}

/// The largest difference between the kernel and what it is compared with, relative to numbers above 1. It is ten times the
/// difference that their orders of summation make.
const TOLERANCE: f64 = 1e-5;

impl<'a> Fused<'a> {
    /// Returns `None` if the network was not recognised, if the kernel cannot run its layers, or if the graph's normalisation
    /// and the file's, or their rules for log_std, cannot be made one.
    fn of(model: &'a Model) -> Option<Self> {
        let recognised = model.network.recognised()?;
        let Recognised { mlp, normalisation: inner, log_std, .. } = recognised;
        (model.normalisation.is_none() || inner.is_none()).then_some(())?;
        let log_std = match (model.squashing.log_std, *log_std) {
            (Some(outer), Some(inner)) => Some(outer.after(inner)?),
            (outer, _) => outer,
        };
        let squashing = Squashing { log_std, ..model.squashing.clone() };
        Some(Fused { recognised, kernel: Kernel::pack(&network::plain(mlp)?)?, squashing, inner: inner.clone() })
    }

    /// Returns `true` if the kernel computes what the layers compute in double precision, and what the graph computes unless the
    /// layers are the graph for certain. tract is built for the latter only: that takes most of a load.
    fn is_proven(&mut self, model: &Model) -> Result<bool> {
        let state = spread(model.network.state_dim);
        let [mean, log_std] = self.recognised.mlp.outputs_of(&state.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        let ours = self.run(&state);
        let has_log_std = ours.log_std.len() == log_std.len();
        let computes = has_log_std && agree(&ours.mean, mean) && agree(&ours.log_std, log_std);
        Ok(computes && (self.recognised.is_certain || self.differs(model)?.is_none()))
    }

    /// Compares the kernel with tract on one state. One is enough, since every weight and bias is part of its answer.
    fn differs(&mut self, model: &Model) -> Result<Option<String>> {
        let state = spread(model.network.state_dim);
        let theirs = tract::run_once(model.network.network()?, &state)?;
        let ours = self.run(&self.inner.as_ref().map_or(state.clone(), |inner| inner.apply(&state)));
        let used = |rule: Option<LogStd>, values: &[f32]| {
            values.iter().map(|value| rule.map_or(0.0, |rule| rule.apply(*value))).collect::<Vec<_>>()
        };
        // A file without a rule for log_std has no use for it.
        let log_stds = (used(self.squashing.log_std, &ours.log_std), used(model.squashing.log_std, &theirs.log_std));
        for (name, (ours, theirs)) in [("mean", (ours.mean, theirs.mean)), ("log_std", log_stds)] {
            if !agree(&ours, theirs.iter().map(|x| f64::from(*x))) {
                return Ok(Some(format!("the kernel gives {name} = {ours:?}, and tract gives {theirs:?}")));
            }
        }
        Ok(None)
    }

    fn run(&mut self, state: &[f32]) -> Forward {
        let mut forward = Forward::default();
        self.kernel.run(state, &mut forward.mean, Some(&mut forward.log_std));
        forward
    }
}

/// Returns a state of numbers spread over [-1, 1): a Weyl sequence.
fn spread(state_dim: usize) -> Vec<f32> {
    (0..state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect()
}

/// Returns `true` if the numbers differ by no more than rounding. A NaN differs from everything.
fn agree(ours: &[f32], theirs: impl IntoIterator<Item = f64>) -> bool {
    let near = |(ours, theirs): (&f32, f64)| (f64::from(*ours) - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0);
    ours.iter().zip(theirs).all(near)
}
