//! The content of a file, whatever its format: tensors and settings by name.

use std::collections::BTreeMap;
use std::ops::Bound;

use anyhow::{Result, ensure};

use super::tensor::Tensor;

/// The tensors and settings of a file. Names are paths with dots between their parts, such as `actor.net.0.weight` or `config.action_low`.
#[derive(Default)]
pub struct Contents {
    leaves: BTreeMap<String, Leaf>,
}

/// A tensor or a setting.
pub enum Leaf {
    Tensor(Tensor),
    /// A number, or a list of numbers. `true` is 1.
    Numbers(Vec<f64>),
    Text(String),
    /// The name of a class, with its module.
    Class(String),
}

/// The most values of a file; more than any checkpoint has, optimizers and critics included.
const MAX_LEAVES: usize = 65_536;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 512;

/// Parts that wrappers (DataParallel, torch.compile) add to names, and that are removed.
const WRAPPERS: &[&str] = &["module", "_orig_mod"];

impl Contents {
    /// Inserts a value, which must not be there yet.
    pub fn insert(&mut self, path: &str, leaf: Leaf) -> Result<()> {
        ensure!(self.leaves.len() < MAX_LEAVES, "the file holds more than {MAX_LEAVES} values");
        ensure!(path.len() <= MAX_NAME, "the file holds a name of more than {MAX_NAME} bytes");
        let parts = path.split('.').filter(|part| !WRAPPERS.contains(part));
        let name = parts.collect::<Vec<_>>().join(".");
        ensure!(!self.leaves.contains_key(&name), "the file holds `{name}` twice");
        self.leaves.insert(name, leaf);
        Ok(())
    }

    /// Inserts a setting that a file has as text: a number or a list of numbers if it is JSON, such as `[-2.0, 2.0]`, or
    /// else text.
    pub fn insert_setting(&mut self, key: &str, value: &str) -> Result<()> {
        let leaf = match (serde_json::from_str::<f64>(value), serde_json::from_str::<Vec<f64>>(value)) {
            (Ok(number), _) => Leaf::Numbers(vec![number]),
            (_, Ok(numbers)) => Leaf::Numbers(numbers),
            _ => Leaf::Text(value.to_owned()),
        };
        self.insert(key, leaf)
    }

    pub fn remove(&mut self, name: &str) -> Option<Leaf> {
        self.leaves.remove(name)
    }

    pub fn get(&self, name: &str) -> Option<&Leaf> {
        self.leaves.get(name)
    }

    /// Returns a value with its name, borrowed from here.
    pub fn entry(&self, name: &str) -> Option<(&str, &Leaf)> {
        self.leaves.get_key_value(name).map(|(name, leaf)| (name.as_str(), leaf))
    }

    /// Returns `true` if any name starts with `prefix`.
    pub fn has_below(&self, prefix: &str) -> bool {
        self.leaves
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .next()
            .is_some_and(|(name, _)| name.starts_with(prefix))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Leaf)> {
        self.leaves.iter().map(|(name, leaf)| (name.as_str(), leaf))
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.iter().filter_map(|(name, leaf)| if let Leaf::Tensor(tensor) = leaf { Some((name, tensor)) } else { None })
    }
}

impl Leaf {
    /// Returns the numbers of a setting, or of a tensor in row-major order; `None` for text and classes.
    pub fn numbers(&self) -> Result<Option<Vec<f64>>> {
        match self {
            Leaf::Numbers(numbers) => Ok(Some(numbers.clone())),
            Leaf::Tensor(tensor) => tensor.numbers().map(Some),
            Leaf::Text(_) | Leaf::Class(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_no_part_of_a_name_and_no_name_stands_twice() {
        let mut contents = Contents::default();
        contents.insert("module.net.0.weight", Leaf::Text(String::new())).unwrap();
        contents.insert("policy._orig_mod.mean.weight", Leaf::Text(String::new())).unwrap();
        assert!(contents.get("net.0.weight").is_some() && contents.get("policy.mean.weight").is_some());
        let twice = contents.insert("net.0.weight", Leaf::Text(String::new()));
        assert!(twice.unwrap_err().to_string().contains("`net.0.weight` twice"));
    }

    #[test]
    fn a_setting_is_a_number_a_list_or_text() {
        let mut contents = Contents::default();
        for (key, value) in [("a", "-2.0"), ("b", "[1, 2.5]"), ("c", "relu")] {
            contents.insert_setting(key, value).unwrap();
        }
        let numbers = |name: &str| contents.get(name).unwrap().numbers().unwrap();
        assert_eq!((numbers("a"), numbers("b"), numbers("c")), (Some(vec![-2.0]), Some(vec![1.0, 2.5]), None));
        assert!(matches!(contents.get("c"), Some(Leaf::Text(text)) if text == "relu"));
    }
}
