//! Translates programs that PyTorch wrote into ONNX graphs: archives of `torch.jit.save` and of `torch.export.save`.
//!
//! A program is interpreted once, on a value that stands for any state, and each operator that it calls becomes a node.
//! A program that leaves something uncertain is refused. Nothing of it is executed otherwise, and its size, depth and steps are
//! bounded.

mod exported;
mod graph;
mod operator;
mod output;
mod parse;
mod script;
mod syntax;
#[cfg(test)]
mod tests;
mod token;
mod value;

use anyhow::Result;
use tract_onnx::pb::ModelProto;

use crate::file::{Object, Program};
use graph::Graph;
use value::Tensor;

/// Translates a program into a graph from `state`, [batch, state_dim], to `action` (or `output`, if no name says that it
/// is one), or to `mean` and `log_std` if the program returns a tuple. All of them are of f32.
///
/// # Errors
///
/// Fails if the program calls what is not served, if it depends on more than the state, or if it exceeds a limit.
pub fn translate(program: &Program) -> Result<ModelProto> {
    let mut graph = Graph::default();
    let result = match program {
        Program::Script(script) => script::run(script, &mut graph),
        Program::Exported(exported) => exported::run(exported, &mut graph),
    };
    output::finish(graph, &result?, is_policy(program))
}

/// Returns `true` if the program is of rsl_rl's exporter of policies, whose actions nothing bounds.
fn is_policy(program: &Program) -> bool {
    let Program::Script(script) = program else { return false };
    let Object::Module(module) = script.module.get(script.module.root) else { return false };
    let class = module.class.to_lowercase();
    class.contains("rsl_rl")
}

/// Returns the numbers of one state without the dimension of the batch.
fn without_batch(graph: &mut Graph, state: &Tensor) -> Result<Tensor> {
    graph.fix_to_one_state();
    operator::squeezed(graph, state, &[0])
}
