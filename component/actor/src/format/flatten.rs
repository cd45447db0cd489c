//! From the objects of a pickle to names and values.

use anyhow::{Context, Result, ensure};

use super::numpy;
use super::pickle::{Id, Instance, Node, Pickle};
use crate::contents::{Contents, Leaf};
use crate::tensor::Tensor;

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
    ("__builtin__", "set"),
    ("__builtin__", "frozenset"),
    ("__builtin__", "bytearray"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
    ("uuid", "UUID"),
];

/// What a module keeps its parts in: no part of a name.
const MODULE_DICTS: &[&str] = &["_parameters", "_buffers", "_modules"];

const MAX_DEPTH: usize = 64;
const MAX_VISITS: usize = 1 << 20;

/// Reads the tensor that a node is, where it is one.
pub type ReadTensor<'f> = &'f dyn Fn(&Pickle, Id) -> Result<Option<Tensor>>;

/// Everything below the root of a pickle, by name.
pub fn flatten(pickle: &Pickle, read_tensor: ReadTensor) -> Result<Contents> {
    let mut flattener = Flattener { pickle, read_tensor, contents: Contents::default(), visits: 0 };
    flattener.visit("", pickle.root, 0)?;
    Ok(flattener.contents)
}

struct Flattener<'f> {
    pickle: &'f Pickle<'f>,
    read_tensor: ReadTensor<'f>,
    contents: Contents,
    visits: usize,
}

impl Flattener<'_> {
    fn visit(&mut self, path: &str, id: Id, depth: usize) -> Result<()> {
        self.visits += 1;
        // An object that many others refer to is met many times.
        ensure!(self.visits <= MAX_VISITS, "the objects of the pickle are more than {MAX_VISITS}, counted by path");
        ensure!(depth <= MAX_DEPTH, "`{}…` lies deeper than {MAX_DEPTH} levels", path.get(..40).unwrap_or(path));
        let pickle = self.pickle;
        match pickle.node(id) {
            Node::None | Node::Bytes(_) | Node::Persistent(_) => Ok(()),
            Node::Bool(bool) => self.leaf(path, Leaf::Numbers(vec![f64::from(*bool)])),
            Node::Int(int) => self.leaf(path, Leaf::Numbers(vec![*int as f64])),
            Node::Float(float) => self.leaf(path, Leaf::Numbers(vec![*float])),
            Node::Text(text) => self.leaf(path, Leaf::Text((*text).to_owned())),
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
        for (key, value) in items {
            match self.pickle.node(*key) {
                Node::Text(key) if MODULE_DICTS.contains(key) => self.visit(path, *value, depth + 1)?,
                Node::Text(key) => self.visit(&below(path, key), *value, depth + 1)?,
                Node::Int(key) => self.visit(&below(path, &key.to_string()), *value, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn elements(&mut self, path: &str, elements: &[Id], depth: usize) -> Result<()> {
        let number = |id: &Id| match self.pickle.node(*id) {
            Node::Bool(bool) => Some(f64::from(*bool)),
            Node::Int(int) => Some(*int as f64),
            Node::Float(float) => Some(*float),
            _ => None,
        };
        match elements.iter().map(number).collect::<Option<Vec<_>>>() {
            Some(numbers) if !numbers.is_empty() => self.leaf(path, Leaf::Numbers(numbers)),
            _ => elements
                .iter()
                .enumerate()
                .try_for_each(|(index, element)| self.visit(&below(path, &index.to_string()), *element, depth + 1)),
        }
    }

    fn instance(&mut self, path: &str, id: Id, instance: &Instance, depth: usize) -> Result<()> {
        let pickle = self.pickle;
        let name = || if path.is_empty() { "the pickle".to_owned() } else { format!("`{path}`") };
        if let Some(tensor) = (self.read_tensor)(pickle, id).with_context(name)? {
            return self.leaf(path, Leaf::Tensor(tensor));
        }
        if let Some(array) = numpy::array(pickle, instance).with_context(name)? {
            return self.leaf(path, Leaf::Tensor(array));
        }
        match (instance.class.module, instance.class.name) {
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                let [data] = pickle.arguments(instance.arguments).context("a parameter without data")?;
                return self.visit(path, data, depth + 1);
            }
            (module, class) if module.starts_with("torch.nn.modules.") => {
                self.leaf(path, Leaf::Class(format!("{module}.{class}")))?;
            }
            _ => {}
        }
        self.items(path, &instance.items, depth)?;
        if !instance.elements.is_empty() {
            self.elements(path, &instance.elements, depth)?;
        }
        match instance.state.map(|state| pickle.node(state)) {
            // What an OrderedDict has beside its items are the versions of the modules that it came from.
            Some(Node::Dict(_)) if instance.class.name == "OrderedDict" => Ok(()),
            Some(Node::Dict(state)) => self.items(path, state, depth),
            // An object with slots: its dict, or none, and theirs.
            Some(Node::Sequence(parts)) if parts.len() == 2 => parts.iter().try_for_each(|part| {
                if let Node::Dict(state) = pickle.node(*part) { self.items(path, state, depth) } else { Ok(()) }
            }),
            _ => Ok(()),
        }
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
