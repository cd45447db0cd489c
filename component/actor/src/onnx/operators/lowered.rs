//! Operators that are made of several of tract's.

use std::fmt;

use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::logic::wire_with_rank_broadcast;

use super::{Built, alone};

type Wire = dyn Fn(&mut Wiring, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync;

/// An operator that writes itself into a graph as other operators. Its outputs are inferred by writing it into an empty
/// graph of the same inputs.
#[derive(Clone)]
pub struct Lowered {
    name: &'static str,
    outputs: usize,
    /// The inputs that must be constant.
    constants: Vec<usize>,
    wire: Arc<Wire>,
}

impl Lowered {
    /// Makes an operator of one output from the function that writes it.
    pub fn new<F>(name: &'static str, wire: F) -> Lowered
    where
        F: Fn(&mut Wiring, &[OutletId]) -> TractResult<OutletId> + Send + Sync + 'static,
    {
        Lowered::of_outputs(name, 1, move |graph, inputs| Ok(tvec![wire(graph, inputs)?]))
    }

    pub fn of_outputs<F>(name: &'static str, outputs: usize, wire: F) -> Lowered
    where
        F: Fn(&mut Wiring, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync + 'static,
    {
        Lowered { name, outputs, constants: vec![], wire: Arc::new(wire) }
    }

    pub fn with_constants(self, constants: impl IntoIterator<Item = usize>) -> Lowered {
        Lowered { constants: constants.into_iter().collect(), ..self }
    }

    pub fn build(self) -> Built {
        alone(expand(self))
    }

    /// Checks that there are inputs, and those that must be constant.
    fn check(&self, inputs: usize) -> TractResult<()> {
        ensure!(inputs > self.constants.iter().copied().max().unwrap_or(0), "{inputs} inputs are too few");
        Ok(())
    }

    /// Returns what the operator gives for inputs of these facts.
    fn infer(&self, inputs: Vec<TypedFact>) -> TractResult<TVec<TypedFact>> {
        let mut model = TypedModel::default();
        let inputs = inputs.into_iter().enumerate().map(|(i, fact)| match fact.konst.clone() {
            Some(value) => model.add_const(format!("input.{i}"), value),
            None => model.add_source(format!("input.{i}"), fact),
        });
        let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
        let outputs = self.wire("inferred", &mut model, &inputs)?;
        outputs.iter().map(|output| Ok(model.outlet_fact(*output)?.without_value())).collect()
    }
}

impl fmt::Debug for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Expansion for Lowered {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.outputs)?;
        self.check(inputs.len())?;
        solver.given_all(inputs.iter().map(|input| &input.datum_type), move |solver, types| {
            solver.given_all(inputs.iter().map(|input| &input.shape), move |solver, shapes| {
                let types = types.clone();
                solver.given_all(self.constants.iter().map(|i| &inputs[*i].value), move |solver, values| {
                    let facts = types.iter().zip(&shapes).map(|(kind, shape)| kind.fact(shape));
                    let mut facts = facts.collect::<Vec<_>>();
                    for (i, value) in self.constants.iter().zip(values) {
                        facts[*i] = TypedFact::try_from(value)?;
                    }
                    for (output, fact) in outputs.iter().zip(self.infer(facts)?) {
                        solver.equals(&output.datum_type, fact.datum_type)?;
                        solver.equals(&output.shape, fact.shape.to_tvec())?;
                    }
                    Ok(())
                })
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        self.check(inputs.len())?;
        (self.wire)(&mut Wiring { model, prefix, count: 0 }, inputs)
    }
}

/// A graph that an operator is written into.
pub struct Wiring<'a> {
    pub model: &'a mut TypedModel,
    prefix: &'a str,
    count: usize,
}

impl Wiring<'_> {
    /// Returns a name that no other node of the graph has.
    pub fn name(&mut self) -> String {
        self.count += 1;
        format!("{}.{}", self.prefix, self.count)
    }

    /// Adds an operator of one output.
    pub fn node(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.add(op.into(), inputs, false)
    }

    /// Adds an operator whose inputs are brought to one rank, as ONNX does.
    pub fn broadcast(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.add(op.into(), inputs, true)
    }

    /// Adds an operator of any type. The compiler makes a copy of tract's functions for each type, so only this one calls them.
    #[inline(never)]
    fn add(&mut self, op: Box<dyn TypedOp>, inputs: &[OutletId], is_broadcast: bool) -> TractResult<OutletId> {
        let name = self.name();
        let outputs = match is_broadcast {
            true => wire_with_rank_broadcast(name, self.model, op, inputs),
            false => self.model.wire_node(name, op, inputs),
        };
        Ok(outputs?[0])
    }

    /// Adds one of tract's operators that expand themselves.
    pub fn expanded(&mut self, op: &impl Expansion, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let name = self.name();
        op.wire(&name, self.model, inputs)
    }

    /// Adds a constant of one number.
    pub fn number(&mut self, number: f32, kind: DatumType) -> TractResult<OutletId> {
        let name = self.name();
        self.model.add_const(name, tensor0(number).cast_to_dt(kind)?.into_owned())
    }

    pub fn fact(&self, value: OutletId) -> TractResult<TypedFact> {
        self.model.outlet_fact(value).cloned()
    }

    pub fn rank(&self, value: OutletId) -> TractResult<usize> {
        Ok(self.model.outlet_fact(value)?.rank())
    }

    pub fn kind(&self, value: OutletId) -> TractResult<DatumType> {
        Ok(self.model.outlet_fact(value)?.datum_type)
    }

    pub fn constant(&self, value: OutletId) -> TractResult<Arc<Tensor>> {
        self.model.outlet_fact(value)?.konst.clone().context("a constant is expected")
    }

    /// Returns a constant of whole numbers.
    pub fn integers(&self, value: OutletId) -> TractResult<Vec<i64>> {
        let constant = self.constant(value)?;
        let numbers = constant.cast_to::<i64>()?;
        Ok(numbers.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    }
}
