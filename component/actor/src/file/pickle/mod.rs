//! Reads Python's pickles as data: nothing is imported, constructed or called. An object becomes the name of its class
//! and its state. A call becomes the name of the function and its arguments, if checkpoints need that function; a
//! pickle that would call any other is refused.

mod machine;
mod opcode;
mod reader;
#[cfg(test)]
mod tests;

pub use machine::{Machine, read};

/// The index of a node of a [`Pickle`].
pub type Id = u32;

/// The objects of a pickle. They refer to one another by index, so deep nesting and cycles do no harm.
pub struct Pickle<'a> {
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
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A list, a tuple or a set. A whole number beyond 64 bits becomes an empty one.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global<'a>),
    Instance(Instance<'a>),
    /// A reference to an object outside of the pickle, such as a storage of PyTorch's.
    Persistent(Id),
}

/// A class or a function, by its module and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

/// An object of a class, or the result of a function.
#[derive(Debug)]
pub struct Instance<'a> {
    pub class: Global<'a>,
    /// A sequence: the arguments of `__new__` or of the function.
    pub arguments: Id,
    /// The argument of `__setstate__`.
    pub state: Option<Id>,
    /// The items of a dict's subclass.
    pub items: Vec<(Id, Id)>,
    /// The elements of a list's subclass.
    pub elements: Vec<Id>,
}

impl std::fmt::Display for Global<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

impl<'a> Pickle<'a> {
    pub fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    pub fn int(&self, id: Id) -> Option<i64> {
        if let Node::Int(int) = self.node(id) { Some(*int) } else { None }
    }

    pub fn global(&self, id: Id) -> Option<Global<'a>> {
        if let Node::Global(global) = self.node(id) { Some(*global) } else { None }
    }

    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Node::Sequence(elements) = self.node(id) { Some(elements) } else { None }
    }

    pub fn instance(&self, id: Id) -> Option<&Instance<'a>> {
        if let Node::Instance(instance) = self.node(id) { Some(instance) } else { None }
    }

    /// Returns a sequence of whole numbers from zero.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.sequence(id)?.iter().map(|id| usize::try_from(self.int(*id)?).ok()).collect()
    }

    /// Returns the first `N` elements of a sequence, if there are as many.
    pub fn arguments<const N: usize>(&self, id: Id) -> Option<[Id; N]> {
        self.sequence(id)?.first_chunk().copied()
    }
}
