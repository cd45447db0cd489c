//! An inference request, as its JSON says it.

use super::output::Output;
use crate::routes::values::States;

/// An inference request.
pub struct Inference {
    /// The answer repeats it.
    pub id: Option<String>,
    pub deterministic: bool,
    pub seed: Option<u64>,
    /// True if the outputs follow the JSON of the answer as binary tensors, unless they say otherwise.
    pub binary_data_output: bool,
    /// The states. None if the list of inputs is empty.
    pub input: Option<Input>,
    /// The outputs that are asked for, in their order. If there are none, the action is.
    pub outputs: Vec<RequestedOutput>,
}

impl Default for Inference {
    fn default() -> Self {
        let (id, seed, input, outputs) = (None, None, None, vec![]);
        Inference { id, deterministic: true, seed, binary_data_output: false, input, outputs }
    }
}

/// The states.
#[derive(Default)]
pub struct Input {
    pub shape: Shape,
    pub datatype: Datatype,
    /// The bytes of the binary tensor after the JSON.
    pub binary_data_size: Option<u64>,
    /// The numbers in JSON: of rows, or in one flat list, which then counts as none.
    pub data: Option<States>,
}

/// A shape of any number of dimensions, of which a tensor of the model has two at most.
#[derive(Default)]
pub struct Shape {
    count: usize,
    sizes: [u64; 2],
}

impl Shape {
    pub fn push(&mut self, size: u64) {
        if let Some(place) = self.sizes.get_mut(self.count) {
            *place = size;
        }
        self.count += 1;
    }

    /// Returns the sizes. `None` if there are more than two.
    pub fn sizes(&self) -> Option<&[u64]> {
        self.sizes.get(..self.count)
    }
}

/// A datatype that states are taken in.
#[derive(Debug, Clone, Copy, Default)]
pub enum Datatype {
    #[default]
    Fp32,
    Fp64,
}

impl Datatype {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "FP32" => Some(Datatype::Fp32),
            "FP64" => Some(Datatype::Fp64),
            _ => None,
        }
    }
}

/// An output that is asked for.
pub struct RequestedOutput {
    pub output: Output,
    /// Overrides [`Inference::binary_data_output`].
    pub binary_data: Option<bool>,
}
