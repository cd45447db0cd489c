//! Shadows: a checkpoint beside a policy that computes some of its requests again after they were answered, and how the actions
//! differ. A shadow answers no request.

pub(crate) mod comparer;
mod differences;
pub(crate) mod promotion;
mod sampler;
pub(crate) mod shadow;
pub(crate) mod state;

use std::sync::Arc;

use crate::shadows::shadow::Shadow;
use crate::swap::generation::Sizes;
use crate::swap::own::Own;
use crate::swap::shared::Shared;

/// The sub-folder of a policy's folder that holds the candidates of its shadow.
const FOLDER: &str = "shadow";

/// Makes the shadow of a policy, if policies have any and the policy has a folder.
pub(crate) fn of(shared: &Arc<Shared>, own: &Own) -> Option<Arc<Shadow>> {
    let folder = own.source.folder().filter(|_| shared.has_shadows())?.join(FOLDER);
    let own =
        Own { source: own.source.of_folder(&folder), sizes: Sizes::one(), number: 0, is_shadow: true, ..own.clone() };
    Some(Arc::new(Shadow::new(shared, own)))
}
