//! The stack machine of pickles. It builds nodes and calls nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::opcode as op;
use super::reader::Reader;
use super::{Global, Id, Instance, Node, Pickle, global, literal};

/// The most objects of a pickle. Together with the limit of a checkpoint file, it limits the memory that a pickle takes.
const MAX_NODES: usize = 1 << 20;
/// The most times that objects are pushed. An object that many others refer to is pushed many times.
const MAX_PUSHES: usize = 1 << 22;
/// The most marks on the stack at once, which is how deep objects nest while they are built.
const MAX_MARKS: usize = 1 << 16;
/// The longest name of a class or function, in bytes. It is stored with each object of the class.
const MAX_GLOBAL: usize = 512;

/// Reads a whole pickle.
pub fn read(bytes: &Bytes) -> Result<Pickle<'_>> {
    Machine::new(bytes, 0).run().map(|(pickle, _)| pickle)
}

/// The stack machine that runs the program that a pickle is.
pub struct Machine<'a> {
    source: &'a Bytes,
    reader: Reader<'a>,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    pushes: usize,
}

impl<'a> Machine<'a> {
    /// Makes a machine for the pickle that starts `at` a position of some bytes.
    pub fn new(source: &'a Bytes, at: usize) -> Self {
        Machine {
            source,
            reader: Reader::new(source.get(at..).unwrap_or_default()),
            nodes: vec![],
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
            pushes: 0,
        }
    }

    /// Runs to the end of the pickle. Returns the objects and the length of the pickle in bytes.
    pub fn run(mut self) -> Result<(Pickle<'a>, usize)> {
        loop {
            let at = self.reader.position();
            let opcode = self.reader.byte()?;
            if opcode == op::STOP {
                let root = self.pop()?;
                let pickle = Pickle { source: self.source, nodes: self.nodes, root };
                return Ok((pickle, self.reader.position()));
            }
            self.step(opcode).with_context(|| format!("the pickle, at byte {at}"))?;
            let objects = self.nodes.len().max(self.memo.len());
            ensure!(objects <= MAX_NODES, "the pickle holds more than {MAX_NODES} objects");
            ensure!(self.pushes <= MAX_PUSHES, "the pickle refers to objects more than {MAX_PUSHES} times");
            ensure!(self.marks.len() <= MAX_MARKS, "the pickle nests deeper than {MAX_MARKS} objects");
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
            op::POP => self.discard(),
            op::POP_MARK => self.since_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.push_again(top)
            }
            op::BINPUT | op::LONG_BINPUT | op::PUT | op::MEMOIZE => self.memoize(opcode),
            op::BINGET | op::LONG_BINGET | op::GET => self.recall(opcode),
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
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.fill(opcode),
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::INST | op::OBJ => self.instance(opcode),
            op::BUILD => self.build(),
            op::BINPERSID | op::PERSID => self.persistent(opcode),
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
            op::LONG1 | op::LONG4 => literal::long(self.reader.counted(if opcode == op::LONG1 { 1 } else { 4 })?),
            op::INT | op::LONG => literal::int(self.reader.line()?)?,
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.reader.array()?)),
            op::FLOAT => literal::float(self.reader.line()?)?,
            op::BINUNICODE => literal::text(self.reader.counted(4)?),
            op::SHORT_BINUNICODE => literal::text(self.reader.counted(1)?),
            op::BINUNICODE8 => literal::text(self.reader.counted(8)?),
            op::UNICODE => literal::unicode(self.reader.line()?)?,
            op::BINSTRING => literal::string_of(Cow::Borrowed(self.reader.counted(4)?)),
            op::SHORT_BINSTRING => literal::string_of(Cow::Borrowed(self.reader.counted(1)?)),
            op::STRING => literal::string(self.reader.line()?)?,
            op::BINBYTES => Node::Bytes(Cow::Borrowed(self.reader.counted(4)?)),
            op::SHORT_BINBYTES => Node::Bytes(Cow::Borrowed(self.reader.counted(1)?)),
            op::BINBYTES8 | op::BYTEARRAY8 => Node::Bytes(Cow::Borrowed(self.reader.counted(8)?)),
            op::EMPTY_LIST | op::EMPTY_TUPLE | op::EMPTY_SET => Node::Sequence(vec![]),
            op::EMPTY_DICT => Node::Dict(vec![]),
            _ => bail!("opcode {opcode:#04x} is not one that torch.save or pickle.dump writes"),
        })
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let global = if opcode == op::GLOBAL {
            self.named()?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                (Node::Text(Cow::Borrowed(module)), Node::Text(Cow::Borrowed(name))) => short(module, name)?,
                _ => bail!("a class or function has no name"),
            }
        };
        self.push(Node::Global(global))
    }

    /// Reads the name of a class or function on two lines.
    fn named(&mut self) -> Result<Global<'a>> {
        let (module, name) = (self.reader.line()?, self.reader.line()?);
        short(std::str::from_utf8(module)?, std::str::from_utf8(name)?)
    }

    fn instance(&mut self, opcode: u8) -> Result<()> {
        if opcode == op::NEWOBJ_EX {
            // No checkpoint needs the keyword arguments.
            self.pop()?;
        }
        let (callee, arguments) = match opcode {
            op::INST => {
                let class = self.named()?;
                let elements = self.since_mark()?;
                (self.keep(Node::Global(class))?, self.keep(Node::Sequence(elements))?)
            }
            op::OBJ => {
                let mut elements = self.since_mark()?.into_iter();
                let class = elements.next().context("an object has no class")?;
                (class, self.keep(Node::Sequence(elements.collect()))?)
            }
            _ => {
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        let class = self.class(callee, arguments);
        ensure!(matches!(self.nodes[arguments as usize], Node::Sequence(_)), "a call has no tuple of arguments");
        let instance = Instance { class, callee, arguments, state: None, items: vec![], elements: vec![] };
        self.push(Node::Instance(Box::new(instance)))
    }

    /// Returns the class of an object. Protocols 0 and 1 have Python make an object by `copyreg`, which takes the class as
    /// its first argument.
    fn class(&self, callee: Id, arguments: Id) -> Global<'a> {
        let class = global(&self.nodes, callee).unwrap_or(Global::UNNAMED);
        let by_copyreg = ["copyreg", "copy_reg"].contains(&class.module)
            && ["_reconstructor", "__newobj__", "__newobj_ex__"].contains(&class.name);
        match &self.nodes[arguments as usize] {
            Node::Sequence(arguments) if by_copyreg => {
                arguments.first().and_then(|class| global(&self.nodes, *class)).unwrap_or(class)
            }
            _ => class,
        }
    }

    fn build(&mut self) -> Result<()> {
        let (state, target) = (self.pop()?, self.top()?);
        match &mut self.nodes[target as usize] {
            Node::Instance(instance) => instance.state = Some(state),
            _ => bail!("a state is set on something that is not an object"),
        }
        Ok(())
    }

    /// Adds elements to a list or items to a dict. An object may be either, and both are recorded.
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let mut new = match opcode {
            op::APPEND => vec![self.pop()?],
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.since_mark()?,
        };
        let target = self.top()?;
        let target = &mut self.nodes[target as usize];
        if [op::SETITEM, op::SETITEMS].contains(&opcode) {
            match target {
                Node::Dict(items) => items.extend(pairs(&new)?),
                Node::Instance(instance) => instance.items.extend(pairs(&new)?),
                _ => bail!("an item is set on something that is not a dict"),
            }
        } else {
            match target {
                Node::Sequence(elements) => elements.append(&mut new),
                Node::Instance(instance) => instance.elements.append(&mut new),
                _ => bail!("an element is added to something that is not a list"),
            }
        }
        Ok(())
    }

    fn persistent(&mut self, opcode: u8) -> Result<()> {
        let id = if opcode == op::PERSID {
            let line = self.reader.line()?;
            self.keep(literal::text(line))?
        } else {
            self.pop()?
        };
        self.push(Node::Persistent(id))
    }

    fn memoize(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            op::MEMOIZE => u32::try_from(self.memo.len())?,
            _ => self.memo_index(opcode)?,
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let index = self.memo_index(opcode)?;
        let id = *self.memo.get(&index).context("an object is recalled that was never stored")?;
        self.push_again(id)
    }

    fn memo_index(&mut self, opcode: u8) -> Result<u32> {
        match opcode {
            op::PUT | op::GET => Ok(std::str::from_utf8(self.reader.line()?)?.trim().parse()?),
            op::BINPUT | op::BINGET => self.reader.byte().map(u32::from),
            _ => self.reader.array().map(u32::from_le_bytes),
        }
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        let elements = self.stack.split_off(start.context("a tuple has too few elements")?);
        self.push(Node::Sequence(elements))
    }

    fn push(&mut self, node: Node<'a>) -> Result<()> {
        let id = self.keep(node)?;
        self.push_again(id)
    }

    fn push_again(&mut self, id: Id) -> Result<()> {
        self.pushes += 1;
        self.stack.push(id);
        Ok(())
    }

    /// Keeps an object that is not on the stack.
    fn keep(&mut self, node: Node<'a>) -> Result<Id> {
        let id = Id::try_from(self.nodes.len())?;
        self.nodes.push(node);
        Ok(id)
    }

    fn pop(&mut self) -> Result<Id> {
        ensure!(self.stack.len() > self.floor(), "an object is missing");
        self.stack.pop().context("an object is missing")
    }

    /// Discards the object on top, or a mark if that is on top.
    fn discard(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) { self.since_mark().map(drop) } else { self.pop().map(drop) }
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
        Ok(pairs(&elements)?.collect())
    }
}

fn pairs(elements: &[Id]) -> Result<impl Iterator<Item = (Id, Id)>> {
    ensure!(elements.len().is_multiple_of(2), "a key has no value");
    Ok(elements.chunks_exact(2).map(|pair| (pair[0], pair[1])))
}

fn short<'a>(module: &'a str, name: &'a str) -> Result<Global<'a>> {
    ensure!(module.len() + name.len() <= MAX_GLOBAL, "a class or function has a name of more than {MAX_GLOBAL} bytes");
    Ok(Global { module, name })
}
