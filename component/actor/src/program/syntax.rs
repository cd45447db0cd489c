//! The syntax tree of PyTorch's subset of Python.

use std::collections::HashMap;
use std::rc::Rc;

/// The classes and functions of a source file.
#[derive(Default)]
pub struct Source {
    pub classes: HashMap<String, Rc<Class>>,
    pub functions: HashMap<String, Rc<Function>>,
}

#[derive(Default)]
pub struct Class {
    /// The base class: `Module`, `NamedTuple`, `Interface` or nothing.
    pub base: String,
    /// The attributes in their order.
    pub fields: Vec<String>,
    /// The attributes with a value: `in_features : Final[int] = 3`.
    pub constants: HashMap<String, Expression>,
    pub methods: HashMap<String, Rc<Function>>,
}

pub struct Function {
    pub name: String,
    pub parameters: Vec<Parameter>,
    pub body: Vec<Statement>,
}

pub struct Parameter {
    pub name: String,
    /// The outermost name of the type, such as `Tensor` or `Optional`.
    pub annotation: String,
    pub default: Option<Expression>,
}

pub enum Statement {
    /// `a, b, = value`, or `a = value`.
    Assign {
        targets: Vec<Expression>,
        unpack: bool,
        value: Expression,
    },
    Expression(Expression),
    If {
        condition: Expression,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    While {
        condition: Expression,
        body: Vec<Statement>,
    },
    For {
        target: Expression,
        iterable: Expression,
        body: Vec<Statement>,
    },
    Return(Expression),
    Pass,
    Break,
    Continue,
    With {
        context: Expression,
        body: Vec<Statement>,
    },
}

pub enum Expression {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A name with the attributes after it: `torch.nn.functional`.
    Path(Vec<String>),
    Attribute(Box<Expression>, String),
    Subscript(Box<Expression>, Vec<Expression>),
    Slice(Box<Expression>, Option<Box<Expression>>, Option<Box<Expression>>),
    Call {
        callee: Box<Expression>,
        positional: Vec<Expression>,
        named: Vec<(String, Expression)>,
    },
    List(Vec<Expression>),
    /// An operator of Python by the name of PyTorch's operator, such as `add` for `+`.
    Operator(&'static str, Vec<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Conditional {
        condition: Box<Expression>,
        then: Box<Expression>,
        otherwise: Box<Expression>,
    },
    /// A dict, which is not served.
    Dict,
}
