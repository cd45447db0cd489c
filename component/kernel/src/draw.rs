//! Random numbers and networks for tests.

use crate::activation::Activation;
use crate::network::{Hidden, Linear, Network};

/// A source of numbers in [-1, 1), the same in every run.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> f32 {
        (self.step() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    /// Draws an integer below `bound`.
    #[cfg(target_arch = "x86_64")]
    pub fn below(&mut self, bound: usize) -> usize {
        (self.step() >> 33) as usize % bound
    }

    #[cfg(target_arch = "x86_64")]
    pub fn bits(&mut self) -> u32 {
        (self.step() >> 32) as u32
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear<'static> {
        let scale = (inputs as f32).sqrt().recip() * 2.0;
        let weight = (0..inputs * outputs).map(|_| self.next() * scale).collect();
        Linear { inputs, outputs, weight, bias: self.values(outputs).into() }
    }

    /// Makes a network. `widths` go from the state's to the last trunk layer's.
    pub fn network(&mut self, widths: &[usize], actions: usize, activation: Activation) -> Network<'static> {
        let width = widths[widths.len() - 1];
        let hidden = |pair: &[usize]| Hidden { linear: self.linear(pair[0], pair[1]), activation: Some(activation) };
        let trunk = widths.windows(2).map(hidden).collect();
        Network {
            trunk,
            mean: self.linear(width, actions),
            mean_step: None,
            log_std: Some(self.linear(width, actions)),
        }
    }

    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }
}
