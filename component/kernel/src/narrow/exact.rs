//! A network in double precision, layer by layer. Tests compare the kernel with it.

use crate::activation::Activation;
use crate::network::{Linear, Network};

/// Computes the mean and the log_std of a state.
pub fn exact_row(network: &Network, state: &[f32]) -> [Vec<f64>; 2] {
    let mut x: Vec<f64> = state.iter().copied().map(f64::from).collect();
    for hidden in &network.trunk {
        let activation = hidden.activation.expect("every layer has one");
        x = exact_linear(&hidden.linear, &x).into_iter().map(|y| exact(activation, y)).collect();
    }
    [Some(&network.mean), network.log_std.as_ref()].map(|head| head.map_or(vec![], |head| exact_linear(head, &x)))
}

/// Computes an activation by its definition. GELU has a more precise erf here.
pub fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) / 2.0,
        other => other.of(x),
    }
}

fn exact_linear(linear: &Linear, x: &[f64]) -> Vec<f64> {
    let rows = linear.weight.chunks(linear.inputs).zip(&*linear.bias);
    rows.map(|(row, bias)| f64::from(*bias) + row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>()).collect()
}

/// Computes erf by its Taylor series, and for large |x|, where that would cancel, by the continued fraction of erfc.
fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..100 {
            term *= -square / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let fraction = (1..200).rev().fold(0.0, |rest, n| f64::from(n) / 2.0 / (x.abs() + rest));
    let erfc = (-square).exp() / (x.abs() + fraction) / std::f64::consts::PI.sqrt();
    (1.0 - erfc).copysign(x)
}
