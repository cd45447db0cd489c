//! Turns the objects of a pickle into named values, within limits. An object that nothing here understands becomes the
//! name of its class.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use super::contents::{Contents, Leaf, MAX_NAME};
use super::names::{self, is_value, stands_for};
use super::numpy;
use super::pickle::{Id, Instance, Node, Pickle};
use super::tensor::Tensor;

/// Attributes in which modules keep their parts. They add nothing to a name.
const PARTS: &[&str] = &["_parameters", "_buffers", "_modules"];
/// Attributes in which OmegaConf and TensorDict keep their values. They add nothing to a name either.
const VALUES: &[&str] = &["_content", "_val", "_tensordict", "_param_td"];

/// The deepest nesting of objects.
const MAX_DEPTH: usize = 64;
/// The longest text that is kept, in bytes. A longer one is no setting.
const MAX_TEXT: usize = 4096;
/// The longest list that is kept. A longer one is a history or a buffer.
const MAX_LIST: usize = 4096;
/// The most visits of objects. An object that many others refer to is visited many times.
const MAX_VISITS: usize = 1 << 20;
/// Bytes that cost as much as a visit when they are copied.
const BYTES_A_VISIT: usize = 64;

/// Reads a node as a tensor; returns `None` if it is something else.
pub type ReadTensor<'f> = &'f dyn Fn(&Pickle, Id) -> Result<Option<Tensor>>;

/// Returns everything below the root of a pickle by name.
pub fn flatten(pickle: &Pickle, read_tensor: ReadTensor) -> Result<Contents> {
    let mut flattener = Flattener {
        pickle,
        read_tensor,
        contents: Contents::default(),
        visits: 0,
        above: vec![],
        modules: HashSet::new(),
        is_part: false,
        beside: 0,
    };
    flattener.visit("", pickle.root, 0)?;
    Ok(flattener.contents)
}

/// Returns everything below the root of a pickle that has no tensors of PyTorch.
pub fn flatten_values(pickle: &Pickle) -> Result<Contents> {
    flatten(pickle, &|_, _| Ok(None))
}

struct Flattener<'f> {
    pickle: &'f Pickle<'f>,
    read_tensor: ReadTensor<'f>,
    contents: Contents,
    visits: usize,
    /// The objects that contain the current one, so that cycles end.
    above: Vec<Id>,
    /// The modules of networks that have been visited.
    modules: HashSet<Id>,
    /// The object that is visited next is a registered part of a module.
    is_part: bool,
    /// The number of modules around the current object of which it is an attribute, and no part.
    beside: usize,
}

impl Flattener<'_> {
    fn visit(&mut self, path: &str, id: Id, depth: usize) -> Result<()> {
        if self.above.contains(&id) {
            return Ok(());
        }
        self.above.push(id);
        let visited = self.visit_new(path, id, depth);
        self.above.pop();
        visited
    }

    /// Counts a visit and its cost.
    fn charge(&mut self, cost: usize) -> Result<()> {
        self.visits = self.visits.saturating_add(1 + cost);
        ensure!(self.visits <= MAX_VISITS, "the objects of the pickle are more than {MAX_VISITS}, counted by path");
        Ok(())
    }

    fn visit_new(&mut self, path: &str, id: Id, depth: usize) -> Result<()> {
        self.charge(0)?;
        ensure!(depth <= MAX_DEPTH, "`{}…` lies deeper than {MAX_DEPTH} levels", path.get(..40).unwrap_or(path));
        let pickle = self.pickle;
        let is_part = std::mem::take(&mut self.is_part);
        match pickle.node(id) {
            Node::None | Node::Bytes(_) => Ok(()),
            Node::Bool(bool) => self.leaf(path, Leaf::Numbers(vec![f64::from(*bool)])),
            Node::Int(int) => self.leaf(path, Leaf::Numbers(vec![*int as f64])),
            Node::Float(float) => self.leaf(path, Leaf::Numbers(vec![*float])),
            Node::Text(text) if text.len() > MAX_TEXT => Ok(()),
            Node::Text(text) => {
                self.charge(text.len() / BYTES_A_VISIT)?;
                self.leaf(path, Leaf::Text(text.to_string()))
            }
            Node::Global(_) => self.leaf(path, Leaf::Class(names::name(pickle, id))),
            Node::Persistent(_) => match pickle.global(id) {
                Some(_) => self.leaf(path, Leaf::Class(names::name(pickle, id))),
                None => Ok(()),
            },
            Node::Dict(items) => self.items(path, items, depth),
            Node::Sequence(elements) => self.elements(path, elements, depth),
            Node::Instance(instance) => {
                // A module that is kept under a second name, such as in a list of layers, is reported once. A part of two
                // modules is reported for each, as in their state_dict.
                let is_module = is_module(pickle, instance);
                if is_module && !self.modules.insert(id) && (!is_part || self.beside > 0) {
                    return Ok(());
                }
                self.instance(path, id, instance, depth)
            }
        }
    }

    fn leaf(&mut self, path: &str, leaf: Leaf) -> Result<()> {
        if path.is_empty() {
            self.contents.set_root(leaf);
            return Ok(());
        }
        self.contents.insert(path, leaf)
    }

    fn items(&mut self, path: &str, items: &[(Id, Id)], depth: usize) -> Result<()> {
        self.charge(items.len())?;
        for (key, value) in items {
            match self.pickle.node(*key) {
                Node::Text(key) if VALUES.contains(&key.as_ref()) => self.visit(path, *value, depth + 1)?,
                Node::Text(key) if PARTS.contains(&key.as_ref()) => self.parts(path, *value, depth + 1)?,
                Node::Text(key) => self.visit(&below(path, key), *value, depth + 1)?,
                Node::Int(key) => self.visit(&below(path, &key.to_string()), *value, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Visits what a module has registered as its parts.
    fn parts(&mut self, path: &str, id: Id, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let parts = match pickle.node(id) {
            Node::Dict(items) => items,
            Node::Instance(instance) => &instance.items,
            _ => return Ok(()),
        };
        self.charge(parts.len())?;
        for (key, value) in parts {
            let Some(key) = pickle.text(*key) else { continue };
            self.is_part = true;
            self.visit(&below(path, key), *value, depth + 1)?;
            self.is_part = false;
        }
        Ok(())
    }

    fn elements(&mut self, path: &str, elements: &[Id], depth: usize) -> Result<()> {
        self.charge(elements.len())?;
        if elements.len() > MAX_LIST {
            return Ok(());
        }
        match elements.iter().map(|id| self.number(*id)).collect::<Option<Vec<_>>>() {
            Some(numbers) if !numbers.is_empty() => self.leaf(path, Leaf::Numbers(numbers)),
            _ => elements
                .iter()
                .enumerate()
                .try_for_each(|(index, element)| self.visit(&below(path, &index.to_string()), *element, depth + 1)),
        }
    }

    /// Returns the number that a node is; OmegaConf wraps it in an object.
    fn number(&self, id: Id) -> Option<f64> {
        let pickle = self.pickle;
        match pickle.node(id) {
            Node::Bool(bool) => Some(f64::from(*bool)),
            Node::Int(int) => Some(*int as f64),
            Node::Float(float) => Some(*float),
            Node::Instance(instance) => match pickle.node(pickle.item(instance.state?, "_val")?) {
                Node::Int(int) => Some(*int as f64),
                Node::Float(float) => Some(*float),
                _ => None,
            },
            _ => None,
        }
    }

    fn instance(&mut self, path: &str, id: Id, instance: &Instance, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let name = || if path.is_empty() { "the pickle".to_owned() } else { format!("`{path}`") };
        if let Some(tensor) = (self.read_tensor)(pickle, id).with_context(name)? {
            return self.leaf(path, Leaf::Tensor(tensor));
        }
        if let Some(array) = numpy::array(pickle, instance) {
            self.charge(array.numel().saturating_mul(array.dtype.size()) / BYTES_A_VISIT)?;
            return self.leaf(path, Leaf::Tensor(array));
        }
        if let Some(dtype) = numpy::dtype_name(pickle, instance) {
            return self.leaf(path, Leaf::Text(dtype));
        }
        if let Some(inner) = stands_for(pickle, instance) {
            return self.visit(path, inner, depth + 1);
        }
        self.items(path, &instance.items, depth)?;
        if !instance.elements.is_empty() {
            self.elements(path, &instance.elements, depth)?;
        }
        if instance.class.name == "OrderedDict" {
            // The attributes of a state_dict are the versions of its modules. Python 2 passes the items as an argument.
            self.pairs(path, instance, depth)?;
        } else {
            self.state(path, instance, depth)?;
        }
        if is_value(instance.class) {
            return Ok(());
        }
        let class = names::name(pickle, id);
        self.charge(class.len() / BYTES_A_VISIT)?;
        self.contents.insert_class(path, class)
    }

    fn state(&mut self, path: &str, instance: &Instance, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        match instance.state.map(|state| pickle.node(state)) {
            Some(Node::Dict(state)) => {
                // Some dicts keep their items as attributes as well.
                let items = instance.items.iter().map(|(item, _)| pickle.text(*item)).collect::<HashSet<_>>();
                let state = state.iter().filter(|(key, _)| !items.contains(&pickle.text(*key))).copied();
                self.charge(instance.items.len())?;
                self.attributes(path, instance, state.collect(), depth)
            }
            // `functools.partial` has the function, its arguments, its keyword arguments and its attributes.
            Some(Node::Sequence(parts)) if instance.class.name == "partial" && parts.len() == 4 => {
                pickle.dict(parts[2]).map_or(Ok(()), |keywords| self.items(path, keywords, depth))
            }
            // An object with slots has a pair: its dict or None, and the dict of its slots.
            Some(Node::Sequence(parts)) if parts.len() == 2 => parts
                .iter()
                .try_for_each(|part| pickle.dict(*part).map_or(Ok(()), |state| self.items(path, state, depth))),
            _ => Ok(()),
        }
    }

    /// Visits the attributes of an object; those first in which a module registers its parts.
    fn attributes(&mut self, path: &str, of: &Instance, state: Vec<(Id, Id)>, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let is_part = |(key, _): &(Id, Id)| pickle.text(*key).is_some_and(|key| PARTS.contains(&key));
        if state.iter().any(is_part) {
            let (parts, others) = state.into_iter().partition::<Vec<_>, _>(is_part);
            self.items(path, &parts, depth)?;
            self.beside += 1;
            self.items(path, &others, depth)?;
            self.beside -= 1;
            return Ok(());
        }
        if !of.class.name.ends_with("Box") {
            return self.items(path, &state, depth);
        }
        // The bounds of a space are private attributes in some libraries.
        self.charge(state.len())?;
        for (key, value) in state {
            let Some(key) = pickle.text(key) else { continue };
            let key = if ["_low", "_high", "_shape"].contains(&key) { &key[1..] } else { key };
            self.visit(&below(path, key), value, depth + 1)?;
        }
        Ok(())
    }

    fn pairs(&mut self, path: &str, instance: &Instance, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let [pairs] = pickle.arguments(instance.arguments).unwrap_or([instance.arguments]);
        let pairs = pickle.sequence(pairs).unwrap_or_default();
        self.charge(pairs.len())?;
        let pairs = pairs.iter().filter_map(|pair| pickle.arguments(*pair)).map(|[key, value]| (key, value));
        self.items(path, &pairs.collect::<Vec<_>>(), depth)
    }
}

/// Returns `true` if an object is a module of a network.
fn is_module(pickle: &Pickle, instance: &Instance) -> bool {
    instance.state.is_some_and(|state| pickle.item(state, "_modules").is_some())
}

/// Returns the name of `key` within `path`. A key that makes the name too long is cut just after the limit, since it may
/// be very long and met often.
fn below(path: &str, key: &str) -> String {
    let key = key.char_indices().nth(MAX_NAME + 1).map_or(key, |(end, _)| &key[..end]);
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
