//! Everything that a policy does not share with others: see `shared`.

use std::path::PathBuf;

use sac_owner::Source;

use crate::sandbox::factory::InstanceFactory;
use crate::swap::generation::Sizes;

/// The parts of a policy that distinguish it from the others of its process.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) source: Source,
    /// Makes instances with the policy's name.
    pub(crate) factory: InstanceFactory,
    /// The numbers of instances of a generation.
    pub(crate) sizes: Sizes,
    /// The folder that checkpoints may not lead out of, if there is one.
    pub(crate) bounds: Option<PathBuf>,
    /// The number of the last generation that was published before.
    pub(crate) number: u64,
    /// True for a shadow, for whose loads no request waits.
    pub(crate) is_shadow: bool,
}
