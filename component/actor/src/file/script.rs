//! Reads the archives of `torch.jit.save`: the source of a program, the module that it belongs to, and its constants.
//! Nothing here parses the source; `crate::program` does.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::archive::Archive;
use super::pickle::{Id, Instance, Node, Pickle, read as read_pickle};
use super::tensor::Tensor;
use super::torch::tensors_in;

/// A program in PyTorch's subset of Python, with the module whose method `forward` it runs.
pub struct Script {
    /// The source files by the names of their modules, such as `__torch__.torch.nn.functional`.
    pub sources: BTreeMap<String, String>,
    /// The module and the objects that it consists of.
    pub module: Objects,
    /// The tuple of constants that the source names `CONSTANTS.c0` and so on.
    pub constants: Option<Objects>,
    /// The shape of the first input that the program was traced with, if it was traced.
    pub traced_shape: Option<Vec<usize>>,
}

/// The objects of a pickle. They refer to one another by index, so deep nesting and cycles do no harm.
pub struct Objects {
    objects: Vec<Object>,
    pub root: ObjectId,
}

/// The index of an object.
pub type ObjectId = u32;

/// An object of a pickle.
pub enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Tensor(Rc<Tensor>),
    /// A list or a tuple.
    List(Vec<ObjectId>),
    Module(Box<Module>),
    /// The same object as another one.
    Same(ObjectId),
    /// An object that no program can use here, in words.
    Other(String),
}

/// A module, or an object of another class of the program.
pub struct Module {
    /// The name of the class with its module, such as `__torch__.torch.nn.modules.linear.Linear`.
    pub class: String,
    pub attributes: BTreeMap<String, ObjectId>,
}

/// The most bytes of source in an archive. The program of a policy has some thousands.
const MAX_SOURCE: usize = 2 << 20;

/// The most objects of a pickle. A module with a thousand layers has fewer.
const MAX_OBJECTS: usize = 1 << 17;

impl Objects {
    /// Returns an object. Its index comes from this arena.
    pub fn get(&self, id: ObjectId) -> &Object {
        let mut object = &self.objects[id as usize];
        // Each step leads to an object that the pickle made earlier.
        while let Object::Same(other) = object {
            object = &self.objects[*other as usize];
        }
        object
    }

    /// Returns the index that every reference to the same object has.
    pub fn canonical(&self, mut id: ObjectId) -> ObjectId {
        while let Object::Same(other) = &self.objects[id as usize] {
            id = *other;
        }
        id
    }
}

/// Returns `true` for an archive of `torch.jit.save`, which contains source beside its parameters.
pub fn is_script(archive: &Archive, folder: &str) -> bool {
    archive.names().any(|name| name.strip_prefix(folder).is_some_and(|name| name.starts_with("code/")))
}

/// Reads an archive within `folder` of a zip archive.
pub fn read(archive: &Archive, folder: &str) -> Result<Script> {
    if let Some(byteorder) = archive.entry(&format!("{folder}byteorder")) {
        ensure!(*byteorder.read()? == *b"little", "the tensors are big-endian: little-endian is expected");
    }
    let module = objects(archive, folder, "data")?.context("the archive has no data.pkl")?;
    let constants = objects(archive, folder, "constants")?;
    Ok(Script { sources: sources(archive, folder)?, module, constants, traced_shape: traced_shape(archive, folder) })
}

fn sources(archive: &Archive, folder: &str) -> Result<BTreeMap<String, String>> {
    let prefix = format!("{folder}code/");
    let mut sources = BTreeMap::new();
    let mut total = 0usize;
    for name in archive.names() {
        let Some(module) = name.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".py")) else { continue };
        let entry = archive.entry(name).context("an entry is missing")?;
        total = total.saturating_add(entry.size());
        ensure!(total <= MAX_SOURCE, "its program has more than {MAX_SOURCE} bytes of source");
        let source = String::from_utf8(entry.read()?.to_vec()).with_context(|| format!("`{name}` is not UTF-8"))?;
        sources.insert(module.replace('/', "."), source);
    }
    Ok(sources)
}

/// Reads `NAME.pkl`, whose tensors are stored in `NAME/`; returns `None` if there is none.
fn objects(archive: &Archive, folder: &str, name: &str) -> Result<Option<Objects>> {
    let Some(entry) = archive.entry(&format!("{folder}{name}.pkl")) else { return Ok(None) };
    let bytes = entry.read()?;
    let pickle = read_pickle(&bytes)?;
    ensure!(pickle.nodes().len() <= MAX_OBJECTS, "its {name}.pkl holds more than {MAX_OBJECTS} objects");
    let storages = format!("{folder}{name}/");
    let tensor = tensors_in(archive, &storages);
    let objects = (0..pickle.nodes().len()).map(|id| object(&pickle, Id::try_from(id)?, &tensor));
    Ok(Some(Objects { objects: objects.collect::<Result<_>>()?, root: pickle.root }))
}

fn object(pickle: &Pickle, id: Id, tensor: &impl Fn(&Pickle, Id) -> Result<Option<Tensor>>) -> Result<Object> {
    Ok(match pickle.node(id) {
        Node::None => Object::None,
        Node::Bool(bool) => Object::Bool(*bool),
        Node::Int(int) => Object::Int(*int),
        Node::Float(float) => Object::Float(*float),
        Node::Text(text) => Object::Text(text.clone().into_owned()),
        Node::Sequence(elements) => Object::List(elements.clone()),
        Node::Dict(_) => Object::Other("a dict".to_owned()),
        Node::Instance(instance) => match tensor(pickle, id) {
            Ok(Some(tensor)) => Object::Tensor(Rc::new(tensor)),
            Ok(None) => instance_object(pickle, instance, id)?,
            // The program may not need it.
            Err(error) => Object::Other(format!("a tensor that cannot be read: {error:#}")),
        },
        _ => Object::Other("an object of another kind".to_owned()),
    })
}

fn instance_object(pickle: &Pickle, instance: &Instance, id: Id) -> Result<Object> {
    match (instance.class.module, instance.class.name) {
        ("torch._utils", "_rebuild_parameter")
        | (
            "torch.jit._pickle",
            "build_intlist" | "build_doublelist" | "build_boollist" | "build_tensorlist" | "restore_type_tag",
        ) => {
            let [inner] = pickle.arguments(instance.arguments).context("a value has no content")?;
            ensure!(inner < id, "a value contains itself");
            Ok(Object::Same(inner))
        }
        (module, _) if module == "__torch__" || module.starts_with("__torch__.") => {
            let attributes = match instance.state.map(|state| pickle.node(state)) {
                Some(Node::Dict(items)) => items
                    .iter()
                    .filter_map(|(key, value)| pickle.text(*key).map(|key| (key.to_owned(), *value)))
                    .collect(),
                Some(Node::Sequence(_)) => bail!("`{}` keeps its state in a form of its own", instance.class),
                _ => BTreeMap::new(),
            };
            Ok(Object::Module(Box::new(Module { class: instance.class.to_string(), attributes })))
        }
        _ => Ok(Object::Other(format!("an object of `{}`", instance.class))),
    }
}

/// Returns the shape of the first input that the program was traced with. Without it the program is understood as well, but
/// for a few operators.
fn traced_shape(archive: &Archive, folder: &str) -> Option<Vec<usize>> {
    let bytes = archive.entry(&format!("{folder}traced_inputs.pkl"))?.read().ok()?;
    let pickle = read_pickle(&bytes).ok()?;
    // The inputs of `forward` are the only list that starts with a tensor. Their storages are empty.
    pickle.nodes().iter().find_map(|node| {
        let Node::Sequence(inputs) = node else { return None };
        let instance = pickle.instance(*inputs.first()?)?;
        let is_tensor = instance.class.name == "_rebuild_tensor_v2";
        let [_, _, sizes] = is_tensor.then(|| pickle.arguments(instance.arguments))??;
        pickle.sizes(sizes)
    })
}
