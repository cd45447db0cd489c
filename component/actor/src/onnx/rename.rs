//! Renames values of a graph.

use tract_onnx::pb::GraphProto;

/// Renames a value in all nodes, and in the graphs within nodes. The graph's inputs and outputs keep their names.
pub fn rename(graph: &mut GraphProto, from: &str, to: &str) {
    let rename_value = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    graph.initializer.iter_mut().for_each(|tensor| rename_value(&mut tensor.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename_value);
        for graph in node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
        {
            let interface = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
            interface.for_each(|value| rename_value(&mut value.name));
            rename(graph, from, to);
        }
    }
}
