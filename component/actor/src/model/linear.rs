//! A linear layer.

/// The map y = W·x + b.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// The name in the file; empty if the layer was recognised in a graph.
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// W, row-major [outputs, inputs], as PyTorch stores it.
    pub weight: Vec<f32>,
    /// b, [outputs].
    pub bias: Vec<f32>,
}
