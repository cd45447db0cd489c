//! The engine: the kernel or tract, and the choice between them.

use anyhow::Result;

use super::kernel::Kernel;
use super::tract::{self, Tract};
use crate::model::{Forward, LogStd, Normalisation, Squashing};
use crate::onnx::{Network, Recognised};
use crate::wit::Backend;

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
    /// Selects the kernel if the network was recognised and the kernel reproduces tract's output, and tract otherwise. A
    /// given `backend` says that the comparison has been made.
    pub fn new(
        network: Network,
        recognised: Option<Recognised>,
        optimised: bool,
        backend: Option<Backend>,
        normalisation: Option<Normalisation>,
        squashing: Squashing,
    ) -> Result<Self> {
        if let Some(mut fused) = recognised.and_then(|found| Fused::new(found, normalisation.as_ref(), &squashing))
            && (backend.is_some() || fused.agrees(&network, &squashing)?)
        {
            let Fused { kernel, squashing, inner } = fused;
            let normalisation = normalisation.or(inner);
            return Ok(Selected { engine: Engine::Kernel(Box::new(kernel)), normalisation, squashing });
        }
        Ok(Selected { engine: Engine::Tract(Box::new(Tract::new(&network, optimised)?)), normalisation, squashing })
    }
}

/// The kernel of a recognised graph, with what the graph itself does before and after the layers.
struct Fused {
    kernel: Kernel,
    squashing: Squashing,
    inner: Option<Normalisation>,
}

/// The largest difference between the kernel and tract, relative to numbers above 1. It is ten times the difference that
/// their orders of summation make.
const TOLERANCE: f32 = 1e-5;

impl Fused {
    /// Returns `None` if the graph's normalisation and the file's, or their rules for log_std, cannot be made one.
    fn new(recognised: Recognised, outer: Option<&Normalisation>, squashing: &Squashing) -> Option<Self> {
        let Recognised { mlp, normalisation: inner, log_std } = recognised;
        (outer.is_none() || inner.is_none()).then_some(())?;
        let log_std = match (squashing.log_std, log_std) {
            (Some(outer), Some(inner)) => Some(outer.after(inner)?),
            (outer, _) => outer,
        };
        Some(Fused { kernel: Kernel::pack(&mlp)?, squashing: Squashing { log_std, ..squashing.clone() }, inner })
    }

    /// Compares the kernel with tract on one state of numbers spread over [-1, 1) (a Weyl sequence). One state is enough,
    /// since every weight and bias is part of its answer, and tract's pass over it is already a quarter of the load.
    fn agrees(&mut self, network: &Network, squashing: &Squashing) -> Result<bool> {
        let state = (0..network.state_dim).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect::<Vec<_>>();
        let theirs = tract::run_once(network, &state)?;
        let state = self.inner.as_ref().map_or(state.clone(), |inner| inner.apply(&state));
        let mut ours = Forward::default();
        self.kernel.run(&state, &mut ours.mean, Some(&mut ours.log_std));
        let apply = |rule: Option<LogStd>, value: f32| rule.map_or(0.0, |rule| rule.apply(value));
        let rule = |ours: &f32, theirs: &f32| (apply(self.squashing.log_std, *ours), apply(squashing.log_std, *theirs));
        let log_stds = ours.log_std.iter().zip(&theirs.log_std).map(|(ours, theirs)| rule(ours, theirs));
        let mut both = ours.mean.iter().copied().zip(theirs.mean.iter().copied()).chain(log_stds);
        // A NaN differs from everything.
        Ok(both.all(|(ours, theirs)| (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0)))
    }
}
