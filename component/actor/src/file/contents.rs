//! The content of a file, whatever its format: tensors and settings by name.

use std::collections::BTreeMap;
use std::ops::Bound;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::last_observation::LastObservation;
use super::tensor::Tensor;

/// The tensors and settings of a file. Names are paths with dots between their parts, such as `actor.net.0.weight` or `config.action_low`.
#[derive(Default)]
pub struct Contents {
    leaves: BTreeMap<String, Leaf>,
    /// The number of wrappers around a setting, if there are any.
    wrappers: BTreeMap<String, usize>,
    /// The value that the whole file is.
    root: Option<Leaf>,
    root_class: Option<String>,
    /// The last observation of the training, if the file has it.
    pub last_observation: Option<Box<LastObservation>>,
    /// The VecNormalize file whose statistics were added.
    pub statistics: Option<Statistics>,
}

/// A VecNormalize file.
pub struct Statistics {
    /// Its name, relative to the checkpoint's folder.
    pub name: String,
    /// The number of observations that it counts.
    pub count: f64,
}

/// A tensor or a setting.
pub enum Leaf {
    Tensor(Tensor),
    /// A number, or a list of numbers. `true` is 1.
    Numbers(Vec<f64>),
    Text(String),
    /// The name of a class or a function with its module, or of an object's class.
    Class(String),
}

/// The most values of a file; more than any checkpoint has, optimizers and critics included.
const MAX_LEAVES: usize = 65_536;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 512;

/// Parts that wrappers (DataParallel, torch.compile) add to names, and that are removed.
const WRAPPERS: &[&str] = &["module", "_orig_mod"];
/// The classes of those wrappers, without their modules. What they wrap counts.
const WRAPPER_CLASSES: &[&str] =
    &["AveragedModel", "DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "OptimizedModule"];

impl Contents {
    /// Inserts a value, which must not be there yet. A wrapper and what it wraps may have settings of one name; then those
    /// of the latter count.
    pub fn insert(&mut self, path: &str, leaf: Leaf) -> Result<()> {
        ensure!(self.leaves.len() < MAX_LEAVES, "the file holds more than {MAX_LEAVES} values");
        ensure!(path.len() <= MAX_NAME, "the file holds a name of more than {MAX_NAME} bytes");
        let name = unwrapped(path);
        let wrappers = path.split('.').filter(|part| WRAPPERS.contains(part)).count();
        if let Some(known) = self.leaves.get(&name) {
            let is_setting = !matches!(known, Leaf::Tensor(_)) && !matches!(leaf, Leaf::Tensor(_));
            let before = self.wrappers.get(&name).copied().unwrap_or(0);
            ensure!(is_setting && wrappers != before, "the file holds `{name}` twice");
            if wrappers < before {
                return Ok(());
            }
        }
        if wrappers > 0 && !matches!(leaf, Leaf::Tensor(_)) {
            self.wrappers.insert(name.clone(), wrappers);
        }
        self.leaves.insert(name, leaf);
        Ok(())
    }

    /// Sets the value that the whole file is, which has no name of its own.
    pub fn set_root(&mut self, leaf: Leaf) {
        self.root = Some(leaf);
    }

    /// Inserts the class of an object, whose parts may be there already. A wrapper's class counts only if it wraps nothing.
    pub fn insert_class(&mut self, path: &str, class: String) -> Result<()> {
        let name = unwrapped(path);
        let is_wrapper = |class: &str| WRAPPER_CLASSES.contains(&class.rsplit('.').next().unwrap_or_default());
        if name.is_empty() {
            if self.root_class.is_none() || !is_wrapper(&class) {
                self.root_class = Some(class);
            }
            return Ok(());
        }
        match self.leaves.get_mut(&name) {
            Some(Leaf::Class(inner)) if !is_wrapper(&class) => *inner = class,
            Some(_) => {}
            None => return self.insert(&name, Leaf::Class(class)),
        }
        Ok(())
    }

    /// Inserts everything of JSON by name, except nulls. A list of numbers stays whole.
    pub fn insert_json(&mut self, path: &str, value: &Value) -> Result<()> {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Null => Ok(()),
            Value::Bool(bool) => self.insert(path, Leaf::Numbers(vec![f64::from(*bool)])),
            Value::Number(number) => self.insert(path, Leaf::Numbers(vec![number.as_f64().unwrap_or(f64::NAN)])),
            Value::String(text) => self.insert(path, Leaf::Text(text.clone())),
            Value::Object(items) => items.iter().try_for_each(|(key, value)| self.insert_json(&below(key), value)),
            Value::Array(elements) => match elements.iter().map(Value::as_f64).collect::<Option<Vec<_>>>() {
                Some(numbers) if !numbers.is_empty() => self.insert(path, Leaf::Numbers(numbers)),
                _ => elements
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, value)| self.insert_json(&below(&index.to_string()), value)),
            },
        }
    }

    /// Inserts everything of other contents below a path, and what those are as a whole at that path.
    pub fn insert_all(&mut self, path: &str, other: Contents) -> Result<()> {
        for (name, leaf) in other.leaves {
            self.insert(&if path.is_empty() { name } else { format!("{path}.{name}") }, leaf)?;
        }
        if let Some(leaf) = other.root {
            self.insert(path, leaf)?;
        }
        other.root_class.map_or(Ok(()), |class| self.insert_class(path, class))
    }

    /// Removes everything whose name starts with a prefix, and returns it by the rest of its name.
    pub fn take_below(&mut self, prefix: &str) -> Contents {
        let names = self.leaves.keys().filter(|name| name.starts_with(prefix)).cloned().collect::<Vec<_>>();
        let taken = names.into_iter().filter_map(|name| self.leaves.remove_entry(&name));
        let leaves = taken.map(|(name, leaf)| (name[prefix.len()..].to_owned(), leaf)).collect();
        Contents { leaves, ..Contents::default() }
    }

    /// Returns the class of the object that the file is, if it is one. A dict or a list has none.
    pub fn root_class(&self) -> Option<&str> {
        self.root_class.as_deref()
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

    /// Returns the keys of a Dict observation space in the order in which its library concatenates them.
    pub fn observation_keys(&self) -> Vec<&str> {
        let mut keys = self
            .iter()
            .filter_map(|(name, leaf)| {
                let key = name.strip_prefix("observation_space.")?.strip_suffix(".index")?;
                Some((leaf.numbers().ok()??.first().copied()?, key))
            })
            .collect::<Vec<_>>();
        keys.sort_by(|a, b| a.0.total_cmp(&b.0));
        keys.into_iter().map(|(_, key)| key).collect()
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.iter().filter_map(|(name, leaf)| if let Leaf::Tensor(tensor) = leaf { Some((name, tensor)) } else { None })
    }
}

/// Removes the parts that wrappers add to a name.
fn unwrapped(path: &str) -> String {
    path.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
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
        let twice = contents.insert("module.net.0.weight", Leaf::Text(String::new()));
        assert!(twice.unwrap_err().to_string().contains("`net.0.weight` twice"));
        for (path, value) in [("0.module.a", 1.0), ("0.a", 0.0), ("module.0.module.a", 2.0), ("module.0.a", 3.0)] {
            contents.insert(path, Leaf::Numbers(vec![value])).unwrap();
        }
        assert_eq!(contents.get("0.a").unwrap().numbers().unwrap(), Some(vec![2.0]));
    }

    #[test]
    fn the_class_of_what_a_wrapper_wraps_counts() {
        let mut contents = Contents::default();
        contents.insert_class("module", "actors.Actor".to_owned()).unwrap();
        contents.insert_class("", "torch.nn.parallel.data_parallel.DataParallel".to_owned()).unwrap();
        assert_eq!(contents.root_class(), Some("actors.Actor"));
        contents.insert_class("head.module", "torch.nn.modules.container.Sequential".to_owned()).unwrap();
        contents.insert_class("head", "heads.Gaussian".to_owned()).unwrap();
        assert!(matches!(contents.get("head"), Some(Leaf::Class(class)) if class == "heads.Gaussian"));
        contents.insert("scale", Leaf::Numbers(vec![2.0])).unwrap();
        contents.insert_class("scale", "Scale".to_owned()).unwrap();
        assert!(matches!(contents.get("scale"), Some(Leaf::Numbers(_))));
    }

    #[test]
    fn json_becomes_names_with_its_lists_of_numbers_whole() {
        let mut contents = Contents::default();
        let json = serde_json::json!({"a": {"units": [16, 16], "norm": true, "none": null}, "b": [{"c": "relu"}, 1]});
        contents.insert_json("config", &json).unwrap();
        let names = contents.iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names, ["config.a.norm", "config.a.units", "config.b.0.c", "config.b.1"]);
        assert_eq!(contents.get("config.a.units").unwrap().numbers().unwrap(), Some(vec![16.0, 16.0]));
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
