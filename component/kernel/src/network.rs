//! A network as the kernel takes it: linear layers, and one or two linear heads.

use std::borrow::Cow;

use crate::activation::Activation;

/// Hidden layers with a head for the mean, and one for log_std if actions can be sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Network<'a> {
    /// The hidden layers in the order of computation. There may be none.
    pub trunk: Vec<Hidden<'a>>,
    /// The head of the mean.
    pub mean: Linear<'a>,
    /// A step after the head of the mean. It is part of the mean.
    pub mean_step: Option<MeanStep>,
    /// The head of log_std.
    pub log_std: Option<Linear<'a>>,
}

/// A hidden layer: a linear map, and the activation after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden<'a> {
    /// The linear map.
    pub linear: Linear<'a>,
    /// `None` for a layer that nothing follows.
    pub activation: Option<Activation>,
}

/// The map y = W·x + b.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear<'a> {
    /// The length of x.
    pub inputs: usize,
    /// The length of y.
    pub outputs: usize,
    /// W, row-major [outputs, inputs], as PyTorch stores it.
    pub weight: Cow<'a, [f32]>,
    /// b, [outputs].
    pub bias: Cow<'a, [f32]>,
}

/// A step after the head of the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MeanStep {
    /// Bounds the mean by tanh, as tianshou's actor does unless it is `unbounded`.
    Tanh,
    /// Clamps the mean to ± this, as gSDE does (`clip_mean`).
    Clamp(f32),
}

impl Network<'_> {
    /// Returns the length of a state.
    pub fn state_dim(&self) -> usize {
        self.trunk.first().map_or(self.mean.inputs, |hidden| hidden.linear.inputs)
    }

    /// Returns the length of an action.
    pub fn action_dim(&self) -> usize {
        self.mean.outputs
    }

    /// Returns `true` if the network can be computed: each layer has the weights that it claims and takes what the one
    /// before gives, the heads have one shape, and a clamp has a limit. A network may come from anywhere.
    pub fn is_sound(&self) -> bool {
        let mut width = self.state_dim();
        for Hidden { linear, .. } in &self.trunk {
            if !linear.is_sound() || linear.inputs != width {
                return false;
            }
            width = linear.outputs;
        }
        let shape = (width, self.action_dim());
        let is_head = |head: &Linear| head.is_sound() && (head.inputs, head.outputs) == shape;
        let has_limit = !matches!(self.mean_step, Some(MeanStep::Clamp(limit)) if limit.is_nan() || limit < 0.0);
        is_head(&self.mean) && self.log_std.as_ref().is_none_or(is_head) && has_limit
    }
}

impl Linear<'_> {
    fn is_sound(&self) -> bool {
        let weights = self.inputs.checked_mul(self.outputs);
        self.inputs > 0 && self.outputs > 0 && weights == Some(self.weight.len()) && self.bias.len() == self.outputs
    }

    /// Returns the weights of one output.
    pub(crate) fn row(&self, output: usize) -> &[f32] {
        &self.weight[output * self.inputs..][..self.inputs]
    }
}

impl MeanStep {
    /// Applies the step in place.
    pub(crate) fn apply(self, means: &mut [f32]) {
        match self {
            MeanStep::Tanh => means.iter_mut().for_each(|mean| *mean = mean.tanh()),
            MeanStep::Clamp(limit) => means.iter_mut().for_each(|mean| *mean = mean.clamp(-limit, limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    #[test]
    fn only_layers_that_connect_are_sound() {
        let sound = || Draw(1).network(&[3, 5, 4], 2, Activation::Relu);
        assert!(sound().is_sound());
        let spoilt: [fn(&mut Network); 9] = [
            |network| network.trunk[0].linear.inputs = 4,
            |network| network.trunk[1].linear.outputs = usize::MAX,
            |network| network.trunk[1] = network.trunk[0].clone(),
            |network| network.trunk.truncate(1),
            |network| network.mean.bias = vec![0.0; 3].into(),
            |network| {
                network.mean = Linear { outputs: 0, weight: vec![].into(), bias: vec![].into(), ..network.mean.clone() }
            },
            |network| network.log_std = Some(Draw(2).linear(4, 3)),
            |network| network.mean_step = Some(MeanStep::Clamp(f32::NAN)),
            |network| network.mean_step = Some(MeanStep::Clamp(-1.0)),
        ];
        for (index, spoil) in spoilt.iter().enumerate() {
            let mut network = sound();
            spoil(&mut network);
            assert!(!network.is_sound(), "{index}");
        }
    }
}
