//! Turns the objects of a pickle into named values, within limits.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use super::contents::{Contents, Leaf, MAX_NAME};
use super::numpy;
use super::pickle::{Id, Instance, Node, Pickle};
use super::tensor::Tensor;

/// The functions that a checkpoint's pickle may name in a call, by module and name. They are recorded, not called.
pub const CALLS: &[(&str, &str)] = &[
    // Tensors and the parameters of modules.
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch", "Size"),
    ("torch", "device"),
    // numpy's arrays, numbers, and the generators that gymnasium keeps in its spaces.
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "dtype"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    // Python's own containers and values.
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "bytearray"),
    ("builtins", "bytes"),
    ("builtins", "complex"),
    ("builtins", "range"),
    ("__builtin__", "set"),
    ("__builtin__", "frozenset"),
    ("__builtin__", "bytearray"),
    ("__builtin__", "bytes"),
    ("__builtin__", "complex"),
    ("__builtin__", "xrange"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
    ("types", "SimpleNamespace"),
    ("uuid", "UUID"),
];

/// Attributes in which modules keep their parts, and OmegaConf its values. They add nothing to a name.
const TRANSPARENT: &[&str] = &["_parameters", "_buffers", "_modules", "_content", "_val"];

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
    let mut flattener = Flattener { pickle, read_tensor, contents: Contents::default(), visits: 0, above: vec![] };
    flattener.visit("", pickle.root, 0)?;
    Ok(flattener.contents)
}

struct Flattener<'f> {
    pickle: &'f Pickle<'f>,
    read_tensor: ReadTensor<'f>,
    contents: Contents,
    visits: usize,
    /// The objects that contain the current one, so that cycles end.
    above: Vec<Id>,
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
        match pickle.node(id) {
            Node::None | Node::Bytes(_) | Node::Persistent(_) => Ok(()),
            Node::Bool(bool) => self.leaf(path, Leaf::Numbers(vec![f64::from(*bool)])),
            Node::Int(int) => self.leaf(path, Leaf::Numbers(vec![*int as f64])),
            Node::Float(float) => self.leaf(path, Leaf::Numbers(vec![*float])),
            Node::Text(text) if text.len() > MAX_TEXT => Ok(()),
            Node::Text(text) => {
                self.charge(text.len() / BYTES_A_VISIT)?;
                self.leaf(path, Leaf::Text((*text).to_owned()))
            }
            Node::Global(global) => self.leaf(path, Leaf::Class(global.to_string())),
            Node::Dict(items) => self.items(path, items, depth),
            Node::Sequence(elements) => self.elements(path, elements, depth),
            Node::Instance(instance) => self.instance(path, id, instance, depth),
        }
    }

    fn leaf(&mut self, path: &str, leaf: Leaf) -> Result<()> {
        if path.is_empty() { Ok(()) } else { self.contents.insert(path, leaf) }
    }

    fn items(&mut self, path: &str, items: &[(Id, Id)], depth: usize) -> Result<()> {
        self.charge(items.len())?;
        for (key, value) in items {
            match self.pickle.node(*key) {
                Node::Text(key) if TRANSPARENT.contains(key) => self.visit(path, *value, depth + 1)?,
                Node::Text(key) => self.visit(&below(path, key), *value, depth + 1)?,
                Node::Int(key) => self.visit(&below(path, &key.to_string()), *value, depth + 1)?,
                _ => {}
            }
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
        match self.pickle.node(id) {
            Node::Bool(bool) => Some(f64::from(*bool)),
            Node::Int(int) => Some(*int as f64),
            Node::Float(float) => Some(*float),
            Node::Instance(instance) => {
                let Node::Dict(state) = self.pickle.node(instance.state?) else { return None };
                let (_, value) = state.iter().find(|(key, _)| self.pickle.text(*key) == Some("_val"))?;
                match self.pickle.node(*value) {
                    Node::Int(int) => Some(*int as f64),
                    Node::Float(float) => Some(*float),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn instance(&mut self, path: &str, id: Id, instance: &Instance, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let name = || if path.is_empty() { "the pickle".to_owned() } else { format!("`{path}`") };
        if let Some(tensor) = (self.read_tensor)(pickle, id).with_context(name)? {
            return self.leaf(path, Leaf::Tensor(tensor));
        }
        if let Some(array) = numpy::array(pickle, instance).with_context(name)? {
            self.charge(array.numel() * array.dtype.size() / BYTES_A_VISIT)?;
            return self.leaf(path, Leaf::Tensor(array));
        }
        match (instance.class.module, instance.class.name) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                let [data] = pickle.arguments(instance.arguments).context("the parameter has no data")?;
                return self.visit(path, data, depth + 1);
            }
            (module, class) => {
                if let Some(class) = module_class(module, class) {
                    self.leaf(path, Leaf::Class(class))?;
                }
            }
        }
        self.items(path, &instance.items, depth)?;
        if !instance.elements.is_empty() {
            self.elements(path, &instance.elements, depth)?;
        }
        match instance.state.map(|state| pickle.node(state)) {
            // The attributes of a state_dict's OrderedDict are the versions of its modules.
            Some(Node::Dict(_)) if instance.class.name == "OrderedDict" => Ok(()),
            Some(Node::Dict(state)) => {
                // Some dicts keep their items as attributes as well.
                let items = instance.items.iter().map(|(item, _)| pickle.text(*item)).collect::<HashSet<_>>();
                let state = state.iter().filter(|(key, _)| !items.contains(&pickle.text(*key))).copied();
                self.charge(instance.items.len())?;
                self.items(path, &state.collect::<Vec<_>>(), depth)
            }
            // An object with slots has a pair: its dict or None, and the dict of its slots.
            Some(Node::Sequence(parts)) if parts.len() == 2 => parts.iter().try_for_each(|part| {
                if let Node::Dict(state) = pickle.node(*part) { self.items(path, state, depth) } else { Ok(()) }
            }),
            _ => Ok(()),
        }
    }
}

/// Returns the name of a class of `torch.nn.modules`. TorchScript prefixes it with `__torch__`, and mangles it if there
/// are two of a kind.
fn module_class(module: &str, class: &str) -> Option<String> {
    let parts = module.split('.').filter(|part| *part != "__torch__" && !part.starts_with("___torch_mangle_"));
    let module = parts.collect::<Vec<_>>().join(".");
    module.starts_with("torch.nn.modules.").then(|| format!("{module}.{class}"))
}

/// Returns the name of `key` within `path`. A key that makes the name too long is cut just after the limit, since it may
/// be very long and met often.
fn below(path: &str, key: &str) -> String {
    let key = key.char_indices().nth(MAX_NAME + 1).map_or(key, |(end, _)| &key[..end]);
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
