//! The arguments of a call, by position or by name.

use std::cell::Cell;

use anyhow::{Context, Result, bail};

use crate::program::value::{Dim, Handle, Tensor, Value};

/// The arguments of a call.
#[derive(Default)]
pub struct Arguments {
    positional: Vec<Argument>,
    named: Vec<(String, Argument)>,
}

struct Argument {
    value: Value,
    is_read: Cell<bool>,
}

/// Arguments that change no number.
const HARMLESS: &[&str] = &[
    "device",
    "layout",
    "pin_memory",
    "memory_format",
    "non_blocking",
    "requires_grad",
    "inplace",
    "implicit",
    "momentum",
    "cudnn_enable",
    "cudnn_enabled",
];

impl Arguments {
    pub fn push(&mut self, value: Value) {
        self.positional.push(Argument { value, is_read: Cell::new(false) });
    }

    pub fn push_named(&mut self, name: String, value: Value) {
        self.named.push((name, Argument { value, is_read: Cell::new(false) }));
    }

    pub fn positional(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
        self.positional.iter().map(|argument| &argument.value)
    }

    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.positional().chain(self.named.iter().map(|(_, argument)| &argument.value))
    }

    /// Marks arguments as read that change no number.
    pub fn ignore(&self, indices: &[usize]) {
        indices.iter().filter_map(|index| self.positional.get(*index)).for_each(|argument| argument.is_read.set(true));
    }

    /// Fails if an argument was not read, since it would change the result.
    pub fn check_all_read(&self) -> Result<()> {
        let unread = |argument: &Argument| {
            !argument.is_read.get() && !matches!(argument.value, Value::None | Value::Bool(false))
        };
        if let Some(index) = self.positional.iter().position(unread) {
            bail!("its argument {} is not served", index + 1);
        }
        match self.named.iter().find(|(name, argument)| unread(argument) && !HARMLESS.contains(&name.as_str())) {
            Some((name, _)) => bail!("its argument `{name}` is not served"),
            None => Ok(()),
        }
    }

    pub fn len(&self) -> usize {
        self.positional.len() + self.named.len()
    }

    /// Returns an argument that is given and is not None. PyTorch names the first parameter `self` or `input`.
    pub fn get(&self, index: usize, name: &str) -> Option<&Value> {
        let is_name = |found: &str| found == name || (index == 0 && ["self", "input", "a"].contains(&found));
        let named = || self.named.iter().find(|(found, _)| is_name(found)).map(|(_, argument)| argument);
        let argument = self.positional.get(index).or_else(named)?;
        argument.is_read.set(true);
        Some(&argument.value).filter(|value| !matches!(value, Value::None))
    }

    fn needed(&self, index: usize, name: &str) -> Result<&Value> {
        self.get(index, name).with_context(|| format!("its argument `{name}` is missing"))
    }

    pub fn handle(&self, index: usize, name: &str) -> Result<&Handle> {
        match self.needed(index, name)? {
            Value::Tensor(handle) => Ok(handle),
            other => bail!("its argument `{name}` is {}: a tensor is expected", other.kind()),
        }
    }

    pub fn tensor(&self, index: usize, name: &str) -> Result<Tensor> {
        self.handle(index, name)?.read()
    }

    pub fn optional_tensor(&self, index: usize, name: &str) -> Result<Option<Tensor>> {
        self.get(index, name).map(|_| self.tensor(index, name)).transpose()
    }

    /// Returns a tensor, or a number as a constant.
    pub fn operand(&self, index: usize, name: &str) -> Result<Tensor> {
        operand(self.needed(index, name)?)
    }

    pub fn integer(&self, index: usize, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(index, name) else { return Ok(None) };
        integer(value).map(Some).with_context(|| format!("its argument `{name}` is {}", value.kind()))
    }

    pub fn number(&self, index: usize, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(index, name) else { return Ok(None) };
        number(value)
            .map(Some)
            .with_context(|| format!("its argument `{name}` is {}: a known number is expected", value.kind()))
    }

    pub fn flag(&self, index: usize, name: &str) -> Result<bool> {
        match self.get(index, name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Int(int)) => Ok(*int != 0),
            Some(other) => bail!("its argument `{name}` is {}: a bool is expected", other.kind()),
        }
    }

    /// Returns the elements of a list; a number is a list of one.
    pub fn list(&self, index: usize, name: &str) -> Result<Vec<Value>> {
        Ok(match self.needed(index, name)? {
            Value::List(list) => list.elements(),
            other => vec![other.clone()],
        })
    }

    /// Returns the whole numbers of a list.
    pub fn integers(&self, index: usize, name: &str) -> Result<Vec<i64>> {
        let elements = self.list(index, name)?;
        elements
            .iter()
            .map(integer)
            .collect::<Option<_>>()
            .with_context(|| format!("`{name}` is not a list of known numbers"))
    }

    /// Returns the sizes of a list, of which −1 stands for the rest.
    pub fn sizes(&self, index: usize, name: &str) -> Result<Vec<Option<Dim>>> {
        // `view(x, 2, 3)` never occurs: PyTorch collects the sizes in a list.
        self.list(index, name)?.iter().map(size).collect()
    }

    pub fn tensors(&self, index: usize, name: &str) -> Result<Vec<Tensor>> {
        let elements = self.list(index, name)?;
        let tensor = |value: &Value| match value {
            Value::Tensor(handle) => handle.read(),
            other => bail!("`{name}` holds {}: tensors are expected", other.kind()),
        };
        elements.iter().map(tensor).collect()
    }
}

/// Returns a size; −1 is `None`.
fn size(value: &Value) -> Result<Option<Dim>> {
    if let Value::Size(dim) = value {
        return Ok(Some(*dim));
    }
    match integer(value) {
        Some(-1) => Ok(None),
        Some(size) => Ok(Some(Dim::Known(usize::try_from(size).context("a size is negative")?))),
        None => bail!("a size is {}: a known number is expected", value.kind()),
    }
}

/// Returns a whole number that is known, or that a constant tensor holds.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(*int),
        Value::Bool(bool) => Some(i64::from(*bool)),
        Value::Tensor(_) => {
            number(value).filter(|number| number.fract() == 0.0 && number.abs() < 1e7).map(|n| n as i64)
        }
        _ => None,
    }
}

/// Returns a number that is known, or that a constant tensor holds.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        Value::Bool(bool) => Some(f64::from(*bool)),
        Value::Tensor(handle) => match handle.read().ok()?.as_constant()?.numbers[..] {
            [number] => Some(number.into()),
            _ => None,
        },
        _ => None,
    }
}

/// Returns a tensor, or a number as a constant.
pub fn operand(value: &Value) -> Result<Tensor> {
    match value {
        Value::Tensor(handle) => handle.read(),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            Ok(Tensor::scalar(number(value).context("a number is missing")? as f32))
        }
        Value::Size(_) => bail!("it computes with the number of states, which is not served"),
        other => bail!("it has {} as an operand: a tensor or a number is expected", other.kind()),
    }
}
