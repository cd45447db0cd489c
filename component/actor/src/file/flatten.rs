//! From the objects of a pickle to names and values.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use super::numpy;
use super::pickle::{Id, Instance, Node, Pickle};
use crate::file::contents::{Contents, Leaf, MAX_NAME};
use crate::file::tensor::Tensor;

/// The functions that the pickles of checkpoints call, by what they are for.
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

/// What a module keeps its parts in, and OmegaConf its values: no part of a name.
const TRANSPARENT: &[&str] = &["_parameters", "_buffers", "_modules", "_content", "_val"];

const MAX_DEPTH: usize = 64;
/// No setting is as long.
const MAX_TEXT: usize = 4096;
/// No list of layers is as long: what is, is a history or a buffer.
const MAX_LIST: usize = 4096;
const MAX_VISITS: usize = 1 << 20;
/// Bytes of an object that are kept at the cost of a visit.
const KEPT_BY_A_VISIT: usize = 64;

/// Reads the tensor that a node is, where it is one.
pub type ReadTensor<'f> = &'f dyn Fn(&Pickle, Id) -> Result<Option<Tensor>>;

/// Everything below the root of a pickle, by name.
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
    /// The objects that lead to the one at hand.
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

    /// An object that many others refer to is met many times, and counts each time.
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
                self.charge(text.len() / KEPT_BY_A_VISIT)?;
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

    /// A number, also one that OmegaConf wraps.
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
            self.charge(array.numel() * array.dtype.size() / KEPT_BY_A_VISIT)?;
            return self.leaf(path, Leaf::Tensor(array));
        }
        match (instance.class.module, instance.class.name) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                let [data] = pickle.arguments(instance.arguments).context("a parameter without data")?;
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
            // What an OrderedDict has beside its items are the versions of the modules that it came from.
            Some(Node::Dict(_)) if instance.class.name == "OrderedDict" => Ok(()),
            Some(Node::Dict(state)) => {
                // Some dicts keep their items as attributes as well.
                let items = instance.items.iter().map(|(item, _)| pickle.text(*item)).collect::<HashSet<_>>();
                let state = state.iter().filter(|(key, _)| !items.contains(&pickle.text(*key))).copied();
                self.charge(instance.items.len())?;
                self.items(path, &state.collect::<Vec<_>>(), depth)
            }
            // An object with slots: its dict, or none, and theirs.
            Some(Node::Sequence(parts)) if parts.len() == 2 => parts.iter().try_for_each(|part| {
                if let Node::Dict(state) = pickle.node(*part) { self.items(path, state, depth) } else { Ok(()) }
            }),
            _ => Ok(()),
        }
    }
}

/// The name of a class of PyTorch's modules, as TorchScript has it too (`__torch__.torch.nn.modules.…`, mangled where
/// there are two of a kind).
fn module_class(module: &str, class: &str) -> Option<String> {
    let parts = module.split('.').filter(|part| *part != "__torch__" && !part.starts_with("___torch_mangle_"));
    let module = parts.collect::<Vec<_>>().join(".");
    module.starts_with("torch.nn.modules.").then(|| format!("{module}.{class}"))
}

/// Of a key that makes the name too long, no more than that takes: it may be long, and met often.
fn below(path: &str, key: &str) -> String {
    let key = key.char_indices().nth(MAX_NAME + 1).map_or(key, |(end, _)| &key[..end]);
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
