//! Reads Python's pickles as data: nothing is imported, constructed or called. An object becomes the name of its class
//! and its state, and a call becomes the name of the function and its arguments.

mod literal;
mod machine;
mod opcode;
mod reader;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

pub use machine::{Machine, read};

/// The index of a node of a [`Pickle`].
pub type Id = u32;

/// The objects of a pickle. They refer to one another by index, so deep nesting and cycles do no harm.
pub struct Pickle<'a> {
    source: &'a Bytes,
    nodes: Vec<Node<'a>>,
    pub root: Id,
}

/// An object of a pickle.
#[derive(Debug)]
pub enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// A list, a tuple or a set. A whole number beyond 64 bits becomes an empty one.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global<'a>),
    Instance(Box<Instance<'a>>),
    /// A reference to an object outside of the pickle, such as a storage of PyTorch's.
    Persistent(Id),
}

/// A class or a function, by its module and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

/// An object of a class, or the result of a function that was not called.
#[derive(Debug)]
pub struct Instance<'a> {
    /// The class or function; [`Global::UNNAMED`] if it is the result of a call.
    pub class: Global<'a>,
    /// The node that was called.
    pub callee: Id,
    /// A sequence: the arguments of `__new__` or of the function.
    pub arguments: Id,
    /// The argument of `__setstate__`.
    pub state: Option<Id>,
    /// The items of a dict's subclass.
    pub items: Vec<(Id, Id)>,
    /// The elements of a list's subclass.
    pub elements: Vec<Id>,
}

impl Global<'_> {
    /// A class or function that is itself the result of a call.
    pub const UNNAMED: Global<'static> = Global { module: "", name: "" };
}

impl std::fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// The most items of a dict among which one is searched.
const MAX_SEARCHED: usize = 256;
/// The longest list of sizes.
const MAX_SIZES: usize = 64;

impl<'a> Pickle<'a> {
    pub fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Returns bytes, without a copy unless they are decoded from text.
    pub fn bytes(&self, id: Id) -> Option<Bytes> {
        match self.node(id) {
            Node::Bytes(Cow::Borrowed(bytes)) => Some(self.source.slice_ref(bytes)),
            Node::Bytes(Cow::Owned(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    pub fn int(&self, id: Id) -> Option<i64> {
        if let Node::Int(int) = self.node(id) { Some(*int) } else { None }
    }

    /// Returns a class or function. The format before PyTorch 1.6 refers to a module's class from outside of the pickle,
    /// as `("module", class, path of its source, source)`.
    pub fn global(&self, id: Id) -> Option<Global<'a>> {
        global(&self.nodes, id)
    }

    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Node::Sequence(elements) = self.node(id) { Some(elements) } else { None }
    }

    pub fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        if let Node::Dict(items) = self.node(id) { Some(items) } else { None }
    }

    pub fn instance(&self, id: Id) -> Option<&Instance<'a>> {
        if let Node::Instance(instance) = self.node(id) { Some(instance) } else { None }
    }

    /// Returns the value of a text key, which must be among the first of a dict, so that it is found fast.
    pub fn item(&self, dict: Id, key: &str) -> Option<Id> {
        let mut items = self.dict(dict)?.iter().take(MAX_SEARCHED);
        items.find(|(found, _)| self.text(*found) == Some(key)).map(|(_, value)| *value)
    }

    /// Returns a sequence of whole numbers from zero, which may be within a `torch.Size`.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let id = match self.instance(id) {
            Some(instance) if (instance.class.module, instance.class.name) == ("torch", "Size") => {
                self.arguments::<1>(instance.arguments)?[0]
            }
            _ => id,
        };
        let sizes = self.sequence(id).filter(|sizes| sizes.len() <= MAX_SIZES)?;
        sizes.iter().map(|id| usize::try_from(self.int(*id)?).ok()).collect()
    }

    /// Returns the first `N` elements of a sequence, if there are as many.
    pub fn arguments<const N: usize>(&self, id: Id) -> Option<[Id; N]> {
        self.sequence(id)?.first_chunk().copied()
    }
}

fn global<'a>(nodes: &[Node<'a>], id: Id) -> Option<Global<'a>> {
    match &nodes[id as usize] {
        Node::Global(global) => Some(*global),
        Node::Persistent(id) => {
            let Node::Sequence(parts) = &nodes[*id as usize] else { return None };
            let [tag, class, ..] = parts[..] else { return None };
            match (&nodes[tag as usize], &nodes[class as usize]) {
                (Node::Text(tag), Node::Global(class)) if tag == "module" => Some(*class),
                _ => None,
            }
        }
        _ => None,
    }
}
