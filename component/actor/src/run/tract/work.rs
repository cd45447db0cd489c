//! Says if the work of a graph depends on the numbers of a state, so that the time of one state says nothing of another's.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::logic::IfThenElse;

/// Returns `true` if a graph has branches, or values whose size only running it tells, such as a range's.
pub fn depends_on_state(model: &TypedModel) -> bool {
    model.nodes.iter().any(|node| {
        let is_sized = |outlet: &Outlet<TypedFact>| outlet.fact.shape.as_concrete().is_some();
        node.op_is::<IfThenElse>() || !node.outputs.iter().all(is_sized)
    })
}
