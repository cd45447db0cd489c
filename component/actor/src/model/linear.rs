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
        rows.zip(&self.bias).map(|(row, bias)| product(row, x) + f64::from(*bias)).collect()
    }
}

/// Multiplies in four independent sums: one would wait for each addition before the next.
fn product(row: &[f32], x: &[f64]) -> f64 {
    let (rows, row_rest) = row.as_chunks::<4>();
    let (xs, x_rest) = x.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (row, x) in rows.iter().zip(xs) {
        for ((sum, weight), x) in sums.iter_mut().zip(row).zip(x) {
            *sum += f64::from(*weight) * x;
        }
    }
    let rest = row_rest.iter().zip(x_rest).map(|(weight, x)| f64::from(*weight) * x).sum::<f64>();
    sums.iter().sum::<f64>() + rest
}
