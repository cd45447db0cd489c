//! What a network computes by its definition, in double precision. Tests compare the kernel with it.

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

/// Computes an activation by PyTorch's definition, in double precision.
pub fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu => x.max(0.0) + x.min(0.0) * f64::from(Activation::LEAKY_SLOPE),
        Activation::Elu | Activation::Celu => x.max(0.0) + x.min(0.0).exp_m1(),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) / 2.0,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Selu => {
            let [scale, alpha] = Activation::SELU.map(f64::from);
            scale * (x.max(0.0) + alpha * x.min(0.0).exp_m1())
        }
        Activation::Mish => x * softplus(x).tanh(),
        Activation::Softplus => softplus(x),
        Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

fn exact_linear(linear: &Linear, x: &[f64]) -> Vec<f64> {
    let rows = linear.weight.chunks(linear.inputs).zip(&*linear.bias);
    rows.map(|(row, bias)| f64::from(*bias) + row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>()).collect()
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
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
