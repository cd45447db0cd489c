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

impl Linear {
    /// Computes y in double precision.
    pub fn of(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.weight.chunks_exact(self.inputs.max(1));
        let product = |row: &[f32]| row.iter().zip(x).map(|(weight, x)| f64::from(*weight) * x).sum::<f64>();
        rows.zip(&self.bias).map(|(row, bias)| product(row) + f64::from(*bias)).collect()
    }
}
