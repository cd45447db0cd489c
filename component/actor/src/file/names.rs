//! The names of the classes and functions that a pickle refers to, in whatever way it does. Nothing here is looked up or
//! called.

use super::contents::MAX_NAME;
use super::pickle::{Global, Id, Instance, Node, Pickle};

/// The most calls within one another that a name may consist of.
const MAX_DEPTH: usize = 8;

/// Returns the name of a class, of a function, or of an object's class. What a call gives goes by the name of what was
/// called. `getattr(torch, "tanh")` is `torch.tanh`, and `functools.partial(F.elu, alpha=0.5)` is
/// `torch.nn.functional.elu.partial`.
pub fn name(pickle: &Pickle, id: Id) -> String {
    let mut name = resolve(pickle, id, 0).unwrap_or_else(|| "an unnamed class".to_owned());
    let end = (0..=MAX_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.truncate(end);
    name
}

fn resolve(pickle: &Pickle, id: Id, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    if let Some(global) = pickle.global(id) {
        return Some(plain(global));
    }
    let instance = pickle.instance(id)?;
    let inner = |id| resolve(pickle, id, depth + 1);
    match (instance.class.module, instance.class.name) {
        ("builtins" | "__builtin__", "getattr") => {
            let [object, attribute] = pickle.arguments(instance.arguments)?;
            Some(format!("{}.{}", inner(object)?, short(pickle.text(attribute)?)))
        }
        ("functools", "partial") => {
            let [function] = pickle.arguments(instance.arguments)?;
            Some(format!("{}.partial", inner(function)?))
        }
        _ if is_module(instance) => {
            let [module] = pickle.arguments(instance.arguments)?;
            pickle.text(module).map(|module| short(module).to_owned())
        }
        (module, "_make_skeleton_class") if module.starts_with("cloudpickle.") => class(pickle, instance),
        _ if instance.class == Global::UNNAMED => inner(instance.callee),
        _ => Some(plain(instance.class)),
    }
}

/// Returns `true` if an object is a module that cloudpickle or dill would import.
fn is_module(instance: &Instance) -> bool {
    let (module, name) = (instance.class.module, instance.class.name);
    let by_pickler = module.starts_with("cloudpickle") || module.starts_with("dill");
    by_pickler && ["subimport", "_import_module"].contains(&name) || (module, name) == ("importlib", "import_module")
}

/// Returns the name of a class that cloudpickle would make anew: `_make_skeleton_class(metaclass, name, bases,
/// {"__module__": …}, …)`.
fn class(pickle: &Pickle, instance: &Instance) -> Option<String> {
    let [_metaclass, name, _bases, attributes] = pickle.arguments(instance.arguments)?;
    let module = pickle.item(attributes, "__module__").and_then(|module| pickle.text(module)).unwrap_or("__main__");
    Some(format!("{}.{}", short(module), short(pickle.text(name)?)))
}

/// Returns a name as Python code would write it. TorchScript prefixes a module with `__torch__`, and mangles it if there
/// are two of a kind; PyTorch's functions belong to modules that are not public.
fn plain(global: Global) -> String {
    let name = global.name;
    match global.module {
        "torch._C" if name == "_VariableFunctionsClass" => "torch".to_owned(),
        "torch._C._nn" => format!("torch.nn.functional.{name}"),
        module => {
            let is_plain = |part: &&str| *part != "__torch__" && !part.starts_with("___torch_mangle_");
            module.split('.').filter(is_plain).chain([name]).collect::<Vec<_>>().join(".")
        }
    }
}

/// Cuts a part of a name that is longer than a whole one may be.
fn short(part: &str) -> &str {
    part.char_indices().nth(MAX_NAME).map_or(part, |(end, _)| &part[..end])
}

/// Returns `true` for the classes and functions of mere values and containers, which say nothing about a network.
pub fn is_value(class: Global) -> bool {
    const MODULES: &[&str] =
        &["collections", "datetime", "decimal", "numpy", "omegaconf", "pathlib", "uuid", "_codecs"];
    const BUILTINS: &[&str] = &[
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "frozenset",
        "iter",
        "list",
        "object",
        "range",
        "set",
        "slice",
        "tuple",
        "xrange",
    ];
    let top = class.module.split('.').next().unwrap_or_default();
    match top {
        "builtins" | "__builtin__" => BUILTINS.contains(&class.name),
        "torch" => class.module == "torch" && ["Size", "device", "Generator"].contains(&class.name),
        _ => MODULES.contains(&top),
    }
}

/// Returns the object for which a call or an object stands, if it is one that adds nothing to it: TorchScript's typed
/// lists.
pub fn stands_for(pickle: &Pickle, instance: &Instance) -> Option<Id> {
    const LISTS: &[&str] =
        &["restore_type_tag", "build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"];
    let is_list = instance.class.module == "torch.jit._pickle" && LISTS.contains(&instance.class.name);
    let is_size = (instance.class.module, instance.class.name) == ("torch", "Size");
    let [inner] = pickle.arguments(instance.arguments).filter(|_| is_list || is_size)?;
    matches!(pickle.node(inner), Node::Sequence(_) | Node::Dict(_)).then_some(inner)
}
