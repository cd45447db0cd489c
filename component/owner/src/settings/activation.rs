//! The activation that the operator supplies for checkpoints that do not contain it.

use super::named::named;

named! {
    /// The activation function after each layer of a network.
    pub enum Activation {
        /// `max(x, 0)`.
        Relu = "relu",
        /// ReLU with a slope of 0.01 for negative inputs.
        LeakyRelu = "leaky_relu",
        /// ELU with an alpha of 1.
        Elu = "elu",
        /// `x · sigmoid(x)`, also known as swish.
        Silu = "silu",
        /// GELU in its exact form, by the error function.
        Gelu = "gelu",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The logistic function.
        Sigmoid = "sigmoid",
        /// `min(max(x, 0), 6)`.
        Relu6 = "relu6",
        /// SELU with its own constants.
        Selu = "selu",
        /// CELU with an alpha of 1.
        Celu = "celu",
        /// `x · tanh(softplus(x))`.
        Mish = "mish",
        /// `ln(1 + exp(x))`.
        Softplus = "softplus",
        /// `x · relu6(x + 3) / 6`.
        Hardswish = "hardswish",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_parsed_to_the_value_that_displays_it() {
        for activation in Activation::ALL {
            assert_eq!(activation.to_string().parse(), Ok(*activation));
        }
        assert_eq!(Activation::LeakyRelu.to_string(), "leaky_relu");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = "LeakyReLU".parse::<Activation>().expect_err("unknown").to_string();
        assert_eq!(
            error,
            "expected one of relu, leaky_relu, elu, silu, gelu, tanh, sigmoid, relu6, selu, celu, mish, softplus, hardswish"
        );
    }
}
