//! Python's pickles, read as data: nothing is imported, made or called. What an object was made of is kept beside the
//! name of its class, and so is what a function was called with, if that function is one of those that checkpoints
//! need; a pickle that would call any other is refused.

mod machine;
mod opcode;

pub use machine::{Machine, read};

/// Which node of a [`Pickle`].
pub type Id = u32;

/// The objects of a pickle. They refer to one another by number, so that no nesting is too deep, and no cycle a danger.
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    pub root: Id,
}

#[derive(Debug)]
pub enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A list, a tuple or a set. Also a whole number beyond 64 bits, of which nothing is kept.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global<'a>),
    Instance(Instance<'a>),
    /// An object that the pickle leaves to its reader: a storage of PyTorch's.
    Persistent(Id),
}

/// What `import` would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global<'a> {
    pub module: &'a str,
    pub name: &'a str,
}

/// An object of a class, or what a function would have returned.
#[derive(Debug)]
pub struct Instance<'a> {
    pub class: Global<'a>,
    /// A sequence.
    pub arguments: Id,
    /// What `__setstate__` would be given.
    pub state: Option<Id>,
    /// Of a class like a dict.
    pub items: Vec<(Id, Id)>,
    /// Of a class like a list.
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

    /// A sequence of whole numbers from zero.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.sequence(id)?.iter().map(|id| usize::try_from(self.int(*id)?).ok()).collect()
    }

    /// The values of a sequence, where there are at least as many.
    pub fn arguments<const N: usize>(&self, id: Id) -> Option<[Id; N]> {
        self.sequence(id)?.first_chunk().copied()
    }
}
