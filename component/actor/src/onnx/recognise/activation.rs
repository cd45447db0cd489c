//! The patterns of activations.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use tract_onnx::pb::NodeProto;

use super::graph::{Graph, float};
use crate::model::Activation;

impl<'a> Graph<'a> {
    /// Matches an activation. Returns its input and which it is.
    pub fn activation(&self, value: &'a str) -> Option<(&'a str, Activation)> {
        let value = self.same_numbers(value);
        let (op, node) = self.producer(value)?;
        let is = |name: &str, usual: f32| float(node, name).is_none_or(|found| near(found, usual));
        let activation = match op {
            "Relu" => Activation::Relu,
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "Softplus" => Activation::Softplus,
            "Mish" => Activation::Mish,
            "HardSwish" => Activation::Hardswish,
            "Elu" if is("alpha", 1.0) => Activation::Elu,
            "Celu" if is("alpha", 1.0) => Activation::Celu,
            "Selu" if is("gamma", Activation::SELU[0]) && is("alpha", Activation::SELU[1]) => Activation::Selu,
            "LeakyRelu" if is("alpha", Activation::LEAKY_SLOPE) => Activation::LeakyRelu,
            "Gelu"
                if node.attribute.iter().all(|attribute| attribute.name == "approximate" && attribute.s == b"none") =>
            {
                Activation::Gelu
            }
            "Clip" | "Min" => {
                let (input, ..) = self.clamp(value).filter(|(_, low, high)| (*low, *high) == (0.0, 6.0))?;
                return Some((self.without_relu(input), Activation::Relu6));
            }
            "Mul" => {
                let [a, b] = &node.input[..] else { return None };
                let gated = self.gate(a, b).map(|activation| (a.as_str(), activation));
                let gated = gated.or_else(|| self.gate(b, a).map(|activation| (b.as_str(), activation)));
                return gated.or_else(|| self.gelu(node).map(|input| (input, Activation::Gelu)));
            }
            _ => return None,
        };
        Some((node.input.first()?, activation))
    }

    /// Matches a factor that, with x, makes an activation: x · sigmoid(x) and the like.
    fn gate(&self, x: &str, gate: &str) -> Option<Activation> {
        let (op, node) = self.producer(gate)?;
        let input = node.input.first()?;
        match op {
            "Sigmoid" if input == x => Some(Activation::Silu),
            "HardSigmoid" if input == x => {
                let slope = float(node, "alpha").filter(|alpha| near(*alpha, 1.0 / 6.0));
                slope.filter(|_| float(node, "beta").is_none_or(|beta| near(beta, 0.5))).map(|_| Activation::Hardswish)
            }
            "Tanh" => {
                let ("Softplus", softplus) = self.producer(input)? else { return None };
                (softplus.input.first()? == x).then_some(Activation::Mish)
            }
            _ => None,
        }
    }

    /// Returns the input of a `Relu`, which a clip to 0 and 6 makes redundant, or the value itself.
    fn without_relu(&self, value: &'a str) -> &'a str {
        match self.producer(value) {
            Some(("Relu", node)) => node.input.first().map_or(value, |input| input),
            _ => value,
        }
    }

    /// Matches x · (1 + erf(x / √2)) / 2 with its three factors in any order: PyTorch's form below opset 20, and this
    /// crate's.
    fn gelu(&self, product: &'a NodeProto) -> Option<&'a str> {
        let (mut open, mut factors, mut scale) = (vec![product], vec![], 1.0);
        while let Some(node) = open.pop() {
            for input in &node.input {
                match (self.scalar(input), self.producer(input)) {
                    (Some(number), _) => scale *= number,
                    // Three factors take two products.
                    (None, Some(("Mul", inner))) if std::ptr::eq(node, product) => open.push(inner),
                    _ => factors.push(input.as_str()),
                }
            }
        }
        let gated = |of: &str, gate: &str| {
            let (erf, _) = self.with_scalar(gate, "Add").filter(|(_, one)| *one == 1.0)?;
            let ("Erf", erf) = self.producer(erf)? else { return None };
            let scaled = erf.input.first()?;
            let times = self.with_scalar(scaled, "Mul").filter(|(_, by)| near(*by, FRAC_1_SQRT_2));
            let over = || self.with_scalar(scaled, "Div").filter(|(_, by)| near(*by, SQRT_2));
            times.or_else(over).filter(|(input, _)| *input == of).map(|(input, _)| input)
        };
        let [a, b] = factors[..] else { return None };
        near(scale, 0.5).then(|| gated(a, b).or_else(|| gated(b, a)))?
    }
}

fn near(found: f32, expected: f32) -> bool {
    (found - expected).abs() < 1e-6
}
