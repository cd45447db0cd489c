//! The stack machine of pickles.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::opcode as op;
use super::reader::Reader;
use super::{Global, Id, Instance, Node, Pickle};

/// The largest pickle, in bytes. That of a checkpoint has some thousands, since its weights are stored beside it.
const MAX_BYTES: usize = 16 << 20;
/// The most objects of a pickle.
const MAX_NODES: usize = 1 << 20;
/// The longest name of a class or function, in bytes. It is stored with each object of the class.
const MAX_GLOBAL: usize = 512;

/// The functions that a pickle may name in a call, by module and name. They are recorded, not called.
pub type Allowed = &'static [(&'static str, &'static str)];

/// Reads a whole pickle.
pub fn read<'a>(bytes: &'a [u8], allowed: Allowed) -> Result<Pickle<'a>> {
    Machine::new(bytes, allowed).run().map(|(pickle, _)| pickle)
}

/// The stack machine that runs the program that a pickle is.
pub struct Machine<'a> {
    reader: Reader<'a>,
    allowed: Allowed,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8], allowed: Allowed) -> Self {
        Machine {
            reader: Reader::new(bytes),
            allowed,
            nodes: vec![],
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
        }
    }

    /// Runs to the end of the pickle. Returns the objects and the length of the pickle in bytes.
    pub fn run(mut self) -> Result<(Pickle<'a>, usize)> {
        loop {
            let at = self.reader.position();
            let opcode = self.reader.byte()?;
            if opcode == op::STOP {
                let root = self.pop()?;
                return Ok((Pickle { nodes: self.nodes, root }, self.reader.position()));
            }
            self.step(opcode).with_context(|| format!("the pickle, at byte {at}"))?;
            ensure!(self.nodes.len() <= MAX_NODES, "the pickle holds more than {MAX_NODES} objects");
            ensure!(
                self.reader.position() <= MAX_BYTES,
                "the pickle is larger than {MAX_BYTES} bytes, beside its tensors"
            );
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            op::PROTO => self.reader.take(1).map(drop),
            op::FRAME => self.reader.take(8).map(drop),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.since_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.memoize(opcode),
            op::BINGET | op::LONG_BINGET => self.recall(opcode),
            op::LIST | op::TUPLE | op::FROZENSET => {
                let elements = self.since_mark()?;
                self.push(Node::Sequence(elements))
            }
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::DICT => {
                let items = self.pairs_since_mark()?;
                self.push(Node::Dict(items))
            }
            op::APPEND => {
                let element = self.pop()?;
                self.extend(vec![element])
            }
            op::APPENDS | op::ADDITEMS => {
                let elements = self.since_mark()?;
                self.extend(elements)
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])
            }
            op::SETITEMS => {
                let items = self.pairs_since_mark()?;
                self.set_items(items)
            }
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX => self.instance(opcode),
            op::BUILD => self.build(),
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))
            }
            _ => {
                let node = self.literal(opcode)?;
                self.push(node)
            }
        }
    }

    /// Reads an object that the pickle spells out.
    fn literal(&mut self, opcode: u8) -> Result<Node<'a>> {
        Ok(match opcode {
            op::NONE => Node::None,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT => Node::Int(i32::from_le_bytes(self.reader.array()?).into()),
            op::BININT1 => Node::Int(self.reader.byte()?.into()),
            op::BININT2 => Node::Int(u16::from_le_bytes(self.reader.array()?).into()),
            op::LONG1 | op::LONG4 => long(self.reader.counted(if opcode == op::LONG1 { 1 } else { 4 })?),
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.reader.array()?)),
            op::BINUNICODE => Node::Text(std::str::from_utf8(self.reader.counted(4)?)?),
            op::SHORT_BINUNICODE => Node::Text(std::str::from_utf8(self.reader.counted(1)?)?),
            op::BINUNICODE8 => Node::Text(std::str::from_utf8(self.reader.counted(8)?)?),
            op::BINSTRING | op::BINBYTES => Node::Bytes(self.reader.counted(4)?),
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => Node::Bytes(self.reader.counted(1)?),
            op::BINBYTES8 | op::BYTEARRAY8 => Node::Bytes(self.reader.counted(8)?),
            op::EMPTY_LIST | op::EMPTY_TUPLE | op::EMPTY_SET => Node::Sequence(vec![]),
            op::EMPTY_DICT => Node::Dict(vec![]),
            _ => bail!(
                "opcode {opcode:#04x} is not one that torch.save or pickle.dump writes: protocols 2 to 5 are expected"
            ),
        })
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let (module, name) = if opcode == op::GLOBAL {
            (self.reader.line()?, self.reader.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                (Node::Text(module), Node::Text(name)) => (*module, *name),
                _ => bail!("a class or function has no name"),
            }
        };
        ensure!(
            module.len() + name.len() <= MAX_GLOBAL,
            "a class or function has a name of more than {MAX_GLOBAL} bytes"
        );
        self.push(Node::Global(Global { module, name }))
    }

    fn instance(&mut self, opcode: u8) -> Result<()> {
        if opcode == op::NEWOBJ_EX {
            // No checkpoint needs the keyword arguments.
            self.pop()?;
        }
        let (arguments, class) = (self.pop()?, self.pop()?);
        let Node::Global(class) = self.nodes[class as usize] else {
            bail!("it would call an object: refused, nothing in a checkpoint is executed");
        };
        let harmless = opcode != op::REDUCE || self.allowed.contains(&(class.module, class.name));
        ensure!(harmless, "it would call `{class}`: refused, nothing in a checkpoint is executed");
        ensure!(matches!(self.nodes[arguments as usize], Node::Sequence(_)), "`{class}` has no tuple of arguments");
        self.push(Node::Instance(Instance { class, arguments, state: None, items: vec![], elements: vec![] }))
    }

    fn build(&mut self) -> Result<()> {
        let (state, target) = (self.pop()?, self.top()?);
        match &mut self.nodes[target as usize] {
            Node::Instance(instance) => instance.state = Some(state),
            _ => bail!("a state is set on something that is not an object"),
        }
        Ok(())
    }

    fn extend(&mut self, mut new: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::Sequence(elements) | Node::Instance(Instance { elements, .. }) => elements.append(&mut new),
            _ => bail!("an element is added to something that is not a list"),
        }
        Ok(())
    }

    fn set_items(&mut self, mut new: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::Dict(items) | Node::Instance(Instance { items, .. }) => items.append(&mut new),
            _ => bail!("an item is set on something that is not a dict"),
        }
        Ok(())
    }

    fn memoize(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            op::MEMOIZE => self.memo.len() as u32,
            _ => self.memo_index(opcode == op::BINPUT)?,
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let index = self.memo_index(opcode == op::BINGET)?;
        self.stack.push(*self.memo.get(&index).context("an object is recalled that was never stored")?);
        Ok(())
    }

    fn memo_index(&mut self, short: bool) -> Result<u32> {
        if short { self.reader.byte().map(u32::from) } else { self.reader.array().map(u32::from_le_bytes) }
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        let elements = self.stack.split_off(start.context("a tuple has too few elements")?);
        self.push(Node::Sequence(elements))
    }

    fn push(&mut self, node: Node<'a>) -> Result<()> {
        self.stack.push(Id::try_from(self.nodes.len())?);
        self.nodes.push(node);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        ensure!(self.stack.len() > self.floor(), "an object is missing");
        self.stack.pop().context("an object is missing")
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().context("an object is missing")
    }

    /// Returns the height of the stack at the last mark. Nothing below it may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let start = self.marks.pop().context("a mark is missing")?;
        ensure!(start <= self.stack.len(), "an object is missing");
        Ok(self.stack.split_off(start))
    }

    fn pairs_since_mark(&mut self) -> Result<Vec<(Id, Id)>> {
        let elements = self.since_mark()?;
        ensure!(elements.len().is_multiple_of(2), "a key has no value");
        Ok(elements.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// Reads a whole number: little-endian two's complement of any length.
fn long<'a>(bytes: &[u8]) -> Node<'a> {
    let Some(last) = bytes.last() else { return Node::Int(0) };
    if bytes.len() > 8 {
        return Node::Sequence(vec![]);
    }
    let mut all = if last & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(all))
}
