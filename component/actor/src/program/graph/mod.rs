//! The ONNX graph under construction: its nodes and constants, what is known of state_dim, and the limits of its size.

mod attribute;
mod size;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

pub use attribute::{float, integer, integers, list};
use size::Sizes;
pub use size::size_text;

use super::value::{Content, Dim, Kind, Tensor};
use crate::model::MAX_WEIGHTS;
use crate::onnx::build;

/// The most nodes of a graph. That of a policy has some tens.
const MAX_NODES: usize = 4096;
/// The most numbers of a value for one state.
const MAX_WIDTH: usize = 1 << 20;
/// The longest name of a constant that is kept.
const MAX_NAME: usize = 200;

pub const STATE: &str = "state";

/// A constant by the address of its numbers.
#[derive(PartialEq, Eq, Hash)]
struct ConstantKey {
    numbers: usize,
    shape: Vec<usize>,
    is_bool: bool,
}

/// A graph from `state` to the values that operators add.
#[derive(Default)]
pub struct Graph {
    pub nodes: Vec<NodeProto>,
    pub constants: Vec<TensorProto>,
    /// The constants that have a name. Their numbers stay here, so that no other constant has their address.
    interned: HashMap<ConstantKey, (String, Rc<Vec<f32>>)>,
    names: HashSet<String>,
    pub sizes: Sizes,
    /// Numbers that nodes compute for one state, and the multiplications of linear layers.
    work: usize,
    /// Numbers that constants hold.
    numbers: usize,
    /// A limit was exceeded, so the translation ends whatever becomes of the value.
    pub exhausted: bool,
}

impl Graph {
    /// Returns the input.
    pub fn state(&mut self) -> Tensor {
        // The names of one fixed row of states are kept free.
        self.names.extend([STATE, "state#row", "state#shape"].map(str::to_owned));
        Tensor { shape: vec![Dim::Batch, Dim::State(0)], kind: Kind::Float, content: Content::Computed(STATE.into()) }
    }

    /// Adds a node. Returns its value, which is of f32.
    pub fn add(&mut self, op: &str, inputs: &[&Tensor], shape: Vec<Dim>) -> Result<Tensor> {
        self.add_with(op, inputs, &[], vec![], shape)
    }

    /// Adds a node with lists of whole numbers as further inputs, and with attributes.
    pub fn add_with(
        &mut self,
        op: &str,
        inputs: &[&Tensor],
        lists: &[&[i64]],
        attributes: Vec<AttributeProto>,
        shape: Vec<Dim>,
    ) -> Result<Tensor> {
        let mut names = Vec::with_capacity(inputs.len() + lists.len());
        for input in inputs {
            names.push(self.name(input)?);
        }
        for list in lists {
            names.push(self.list(list));
        }
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        self.add_named(op, &names, attributes, shape)
    }

    /// Adds a node whose inputs are named.
    pub fn add_named(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        shape: Vec<Dim>,
    ) -> Result<Tensor> {
        let shape = shape.into_iter().map(|dim| self.resolve(dim)).collect::<Vec<_>>();
        self.exhausted |= self.nodes.len() >= MAX_NODES;
        ensure!(!self.exhausted, "the program takes more than {MAX_NODES} operators");
        let width = self.width(&shape)?;
        self.charge(width)?;
        let output = self.new_name("");
        self.nodes.push(NodeProto { attribute: attributes, ..build::node(op, inputs, &output) });
        Ok(Tensor { shape, kind: Kind::Float, content: Content::Computed(output.into()) })
    }

    /// Returns the numbers of a value for one state.
    pub fn width(&mut self, shape: &[Dim]) -> Result<usize> {
        let known = shape.iter().map(|dim| if let Dim::Known(size) = dim { *size } else { 1 });
        let width = known.fold(1usize, usize::saturating_mul);
        self.exhausted |= width > MAX_WIDTH;
        ensure!(width <= MAX_WIDTH, "the program computes more than {MAX_WIDTH} numbers at once");
        Ok(width)
    }

    /// Counts work that grows with the size of the program's tensors.
    pub fn charge(&mut self, work: usize) -> Result<()> {
        self.work = self.work.saturating_add(work);
        self.exhausted |= self.work > MAX_WEIGHTS;
        ensure!(
            self.work <= MAX_WEIGHTS,
            "the program does more than {MAX_WEIGHTS} multiplications or additions for a state"
        );
        Ok(())
    }

    /// Counts the numbers of a constant before they are read.
    pub fn charge_constant(&mut self, numbers: usize) -> Result<()> {
        self.numbers = self.numbers.saturating_add(numbers);
        self.exhausted |= self.numbers > MAX_WEIGHTS;
        ensure!(self.numbers <= MAX_WEIGHTS, "the program's constants hold more than {MAX_WEIGHTS} numbers");
        Ok(())
    }

    /// Returns the name of a value. A constant gets one when it is first used.
    pub fn name(&mut self, tensor: &Tensor) -> Result<String> {
        let constant = match &tensor.content {
            Content::Computed(name) => return Ok(name.to_string()),
            Content::Constant(constant) => constant,
        };
        let shape = tensor.known_shape().context("a constant has a shape that is not known")?;
        let is_bool = tensor.kind == Kind::Bool;
        let key = ConstantKey { numbers: Rc::as_ptr(&constant.numbers) as usize, shape, is_bool };
        if let Some((name, _)) = self.interned.get(&key) {
            return Ok(name.clone());
        }
        let label = if constant.label.is_empty() { "constant" } else { &constant.label };
        ensure!(
            !constant.numbers.iter().any(|number| number.is_nan()),
            "`{label}` holds NaN: finite weights are expected"
        );
        self.exhausted |= self.constants.len() >= 4 * MAX_NODES;
        ensure!(!self.exhausted, "the program takes more than {} constants", 4 * MAX_NODES);
        let name = self.new_name(label);
        let mut proto = build::tensor(&name, &key.shape, &constant.numbers);
        if is_bool {
            proto.data_type = DataType::Bool.into();
            proto.raw_data = constant.numbers.iter().map(|number| u8::from(*number != 0.0)).collect();
        }
        self.constants.push(proto);
        self.interned.insert(key, (name.clone(), constant.numbers.clone()));
        Ok(name)
    }

    fn list(&mut self, numbers: &[i64]) -> String {
        let name = self.new_name("list");
        self.constants.push(list(&name, numbers));
        name
    }

    /// Returns a name that no value has.
    fn new_name(&mut self, label: &str) -> String {
        let label = label.char_indices().nth(MAX_NAME).map_or(label, |(end, _)| &label[..end]);
        // The names of the outputs are free until the end.
        let mut number = self.names.len();
        let is_generic = label.is_empty() || OUTPUTS.contains(&label);
        let mut name = if is_generic { format!("{label}#{number}") } else { label.to_owned() };
        while self.names.contains(&name) {
            number += 1;
            name = format!("{label}#{number}");
        }
        self.names.insert(name.clone());
        name
    }
}

/// The names of outputs.
pub const OUTPUTS: [&str; 4] = ["action", "output", "mean", "log_std"];
