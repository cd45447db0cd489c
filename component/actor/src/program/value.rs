//! The values of a program while it is translated: numbers and lists that are known, and tensors that the graph computes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::file::ObjectId;

/// A value.
#[derive(Clone)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// A whole number that is known only when the graph runs: the number of states.
    Size(Dim),
    /// A list or a tuple.
    List(List),
    Tensor(Handle),
    Module(ObjectId),
    /// A function or a class of the program, by its name.
    Function(Rc<str>),
    /// The result of a call that is not served, with the reason. It does no harm unless something uses it.
    Refused(Rc<str>),
}

/// The size of a dimension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dim {
    Known(usize),
    /// The number of states.
    Batch,
    /// state_dim plus a number, while state_dim is not known.
    State(isize),
}

/// The type of a tensor's elements, as far as it matters. All numbers are f32 in the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Float,
    /// Whole numbers, which only constants have.
    Int,
    Bool,
}

/// A tensor at one moment of the program.
#[derive(Clone)]
pub struct Tensor {
    pub shape: Vec<Dim>,
    pub kind: Kind,
    pub content: Content,
}

#[derive(Clone)]
pub enum Content {
    Constant(Constant),
    /// A value of the graph, by its name.
    Computed(Rc<str>),
}

/// The numbers of a constant in row-major order.
#[derive(Clone)]
pub struct Constant {
    pub numbers: Rc<Vec<f32>>,
    /// The name in the file, or nothing.
    pub label: Rc<str>,
}

impl Tensor {
    /// Makes a constant of a known shape, which fits the numbers.
    pub fn constant(shape: &[usize], numbers: Vec<f32>) -> Tensor {
        let content = Content::Constant(Constant { numbers: Rc::new(numbers), label: "".into() });
        Tensor { shape: shape.iter().copied().map(Dim::Known).collect(), kind: Kind::Float, content }
    }

    pub fn scalar(number: f32) -> Tensor {
        Tensor::constant(&[], vec![number])
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    pub fn as_constant(&self) -> Option<&Constant> {
        if let Content::Constant(constant) = &self.content { Some(constant) } else { None }
    }

    /// Returns the shape of a constant.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(|dim| if let Dim::Known(size) = dim { Some(*size) } else { None }).collect()
    }

    pub fn value(self) -> Value {
        Value::Tensor(Handle::new(self))
    }
}

/// A variable that holds a tensor. Operators that work in place change it for everyone who refers to it.
#[derive(Clone)]
pub struct Handle(Rc<Variable>);

struct Variable {
    tensor: RefCell<Tensor>,
    /// The version of the memory when this variable was last written.
    version: Cell<u32>,
    memory: Rc<Memory>,
}

/// The memory that a tensor and its views share.
struct Memory {
    version: Cell<u32>,
    /// The memory belongs to the checkpoint, so a change would outlive the call.
    stored: bool,
}

impl Handle {
    pub fn new(tensor: Tensor) -> Handle {
        Handle::with_memory(tensor, Rc::new(Memory { version: Cell::new(0), stored: false }))
    }

    /// Makes a variable for a parameter or constant of the checkpoint.
    pub fn stored(tensor: Tensor) -> Handle {
        Handle::with_memory(tensor, Rc::new(Memory { version: Cell::new(0), stored: true }))
    }

    /// Makes a variable for a view of another one.
    pub fn view_of(&self, tensor: Tensor) -> Handle {
        Handle::with_memory(tensor, self.0.memory.clone())
    }

    fn with_memory(tensor: Tensor, memory: Rc<Memory>) -> Handle {
        Handle(Rc::new(Variable { tensor: RefCell::new(tensor), version: Cell::new(memory.version.get()), memory }))
    }

    /// Returns the tensor.
    ///
    /// # Errors
    ///
    /// Fails if a view of it was changed in place since.
    pub fn read(&self) -> Result<Tensor> {
        ensure!(
            self.0.version.get() == self.0.memory.version.get(),
            "the program changes a tensor in place and reads another view of it, which is not served"
        );
        Ok(self.0.tensor.borrow().clone())
    }

    /// Changes the tensor in place.
    ///
    /// # Errors
    ///
    /// Fails if the tensor belongs to the checkpoint.
    pub fn write(&self, tensor: Tensor) -> Result<()> {
        ensure!(!self.0.memory.stored, "the program changes its own parameters, which is not served");
        self.read()?;
        let version = self.0.memory.version.get() + 1;
        self.0.memory.version.set(version);
        self.0.version.set(version);
        *self.0.tensor.borrow_mut() = tensor;
        Ok(())
    }

    pub fn is(&self, other: &Handle) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// A list, which those who refer to it share.
#[derive(Clone)]
pub struct List(Rc<RefCell<Vec<Value>>>, u8);

impl List {
    /// The deepest nesting of lists, so that none takes deep recursion.
    const MAX_DEPTH: u8 = 8;
    /// The most elements.
    const MAX_LENGTH: usize = 1 << 16;

    pub fn new(elements: Vec<Value>) -> Result<List> {
        let depth = elements.iter().map(|value| if let Value::List(list) = value { list.1 } else { 0 });
        let depth = 1 + depth.max().unwrap_or(0);
        ensure!(depth <= List::MAX_DEPTH, "the program nests lists deeper than {} levels", List::MAX_DEPTH);
        ensure!(
            elements.len() <= List::MAX_LENGTH,
            "the program has a list of more than {} elements",
            List::MAX_LENGTH
        );
        Ok(List(Rc::new(RefCell::new(elements)), depth))
    }

    pub fn elements(&self) -> Vec<Value> {
        self.0.borrow().clone()
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn get(&self, index: i64) -> Option<Value> {
        let elements = self.0.borrow();
        let index = if index < 0 { index + elements.len() as i64 } else { index };
        elements.get(usize::try_from(index).ok()?).cloned()
    }

    /// Appends an element that is no list.
    pub fn append(&self, value: Value) -> Result<()> {
        ensure!(!matches!(value, Value::List(_)), "the program appends a list to a list, which is not served");
        ensure!(self.len() < List::MAX_LENGTH, "the program has a list of more than {} elements", List::MAX_LENGTH);
        self.0.borrow_mut().push(value);
        Ok(())
    }
}

impl Value {
    pub fn list(elements: Vec<Value>) -> Result<Value> {
        List::new(elements).map(Value::List)
    }

    /// Returns a whole number, or a size that is not known.
    pub fn dim(dim: Dim) -> Value {
        if let Dim::Known(size) = dim { Value::Int(size as i64) } else { Value::Size(dim) }
    }

    /// Returns the type in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) | Value::Size(_) => "an int",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Tensor(_) => "a tensor",
            Value::Module(_) => "a module",
            Value::Function(_) => "a function",
            Value::Refused(_) => "a value that is not served",
        }
    }
}
