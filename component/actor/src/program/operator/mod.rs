//! The operators that programs call, and what each becomes in the graph. TorchScript and `torch.export` share them.

mod activation;
mod arguments;
mod clamp;
mod compare;
mod convert;
mod elementwise;
mod linear;
mod make;
mod number;
mod reduce;
mod scalar;
mod shape;

use anyhow::{Result, anyhow, bail};

pub use arguments::{Arguments, integer, number};
pub use make::expanded;
pub use shape::{squeezed, unsqueezed};

use super::graph::Graph;
use super::value::{Handle, Value};
use crate::onnx::IS_RECURRENT;

/// Operators whose result shares its memory with their first argument.
const VIEWS: &[&str] = &[
    "flatten",
    "view",
    "reshape",
    "_unsafe_view",
    "view_as",
    "reshape_as",
    "unsqueeze",
    "squeeze",
    "permute",
    "transpose",
    "t",
    "numpy_T",
    "expand",
    "expand_as",
    "broadcast_to",
    "broadcast_tensors",
    "chunk",
    "split",
    "split_with_sizes",
    "unbind",
    "narrow",
    "select",
    "slice",
    "contiguous",
    "unflatten",
    "alias",
];

/// Operators that keep a state of their own. `_cell` is appended to those of one step.
const RECURRENT: &[&str] = &["gru", "lstm", "rnn_relu", "rnn_tanh"];
/// Operators that draw random numbers.
const RANDOM: &[&str] = &[
    "normal",
    "rand",
    "randn",
    "rand_like",
    "randn_like",
    "randint",
    "randint_like",
    "randperm",
    "bernoulli",
    "multinomial",
    "uniform",
    "exponential",
    "poisson",
    "rrelu",
    "cauchy",
    "geometric",
    "log_normal",
    "random",
    "binomial",
    "_standard_gamma",
    "_sample_dirichlet",
    "native_dropout",
    "dropout",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
    "rrelu_with_noise",
];

/// Calls an operator, such as `linear`, by the name that PyTorch gives it.
///
/// A call that is not served is no error unless its result is used: then the value carries the reason.
///
/// # Errors
///
/// Fails if a limit is exceeded, or if the call may have changed a value.
pub fn call(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
    arguments.all().try_for_each(|value| charge_list(graph, value))?;
    let refused = arguments.all().find_map(refused);
    let in_place = name.strip_suffix('_').filter(|base| !base.ends_with('_'));
    match (refused, in_place) {
        (Some(Value::Refused(reason)), Some(_)) => bail!("{reason}"),
        (Some(refused), None) => Ok(refused),
        (_, Some(base)) => call_in_place(graph, base, arguments).map_err(|error| explained(name, &error)),
        _ => match evaluate(graph, name, arguments) {
            Ok(value) => {
                charge_list(graph, &value)?;
                view(name, arguments, value)
            }
            Err(error) => {
                // A call that is not known may have changed a list.
                let is_known = !error.is::<NotServed>() && name != "append";
                let has_list = arguments.all().any(|value| matches!(value, Value::List(_)));
                let harmless = !graph.exhausted && (is_known || RANDOM.contains(&name) || !has_list);
                let error = explained(name, &error);
                if harmless { Ok(Value::Refused(error.to_string().into())) } else { Err(error) }
            }
        },
    }
}

/// Counts the elements of a list, each of which takes as much memory as several numbers.
pub fn charge_list(graph: &mut Graph, value: &Value) -> Result<()> {
    if let Value::List(list) = value { graph.charge(16 * list.len()) } else { Ok(()) }
}

/// Returns a value that is not served, if an argument is or contains one.
fn refused(value: &Value) -> Option<Value> {
    match value {
        Value::Refused(_) => Some(value.clone()),
        Value::List(list) => list.elements().into_iter().find(|value| matches!(value, Value::Refused(_))),
        _ => None,
    }
}

fn explained(name: &str, error: &anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<NotServed>() {
        Some(_) if RANDOM.contains(&name.trim_end_matches('_')) => {
            anyhow!("the program calls `torch.{name}`, which is random: export the policy's deterministic action")
        }
        Some(_) if RECURRENT.contains(&name.trim_end_matches("_cell")) => {
            anyhow!("the program calls `torch.{name}`: {IS_RECURRENT}")
        }
        Some(_) => {
            let name = name.strip_prefix("prim.").map_or(format!("torch.{name}"), |name| format!("ops.prim.{name}"));
            anyhow!("the program calls `{name}`, which is not served: export the policy to ONNX")
        }
        None => anyhow!("the program calls `torch.{name}`: {error:#}"),
    }
}

/// The error of a call that no function here evaluates.
#[derive(Debug, thiserror::Error)]
#[error("it is not served")]
pub struct NotServed;

/// The functions that know some operators each; they return `None` for all others.
type Family = fn(&mut Graph, &str, &Arguments) -> Result<Option<Value>>;
const FAMILIES: &[Family] = &[
    elementwise::call,
    activation::call,
    clamp::call,
    compare::call,
    linear::call,
    shape::call,
    make::call,
    reduce::call,
];

fn evaluate(graph: &mut Graph, name: &str, arguments: &Arguments) -> Result<Value> {
    // These do not read their arguments one by one.
    for family in [convert::call, scalar::call] {
        if let Some(value) = family(graph, name, arguments)? {
            return Ok(value);
        }
    }
    for family in FAMILIES {
        if let Some(value) = family(graph, name, arguments)? {
            arguments.check_all_read()?;
            return Ok(value);
        }
    }
    Err(NotServed.into())
}

fn call_in_place(graph: &mut Graph, base: &str, arguments: &Arguments) -> Result<Value> {
    let target = arguments.handle(0, "self")?;
    let Value::Tensor(result) = evaluate(graph, base, arguments)? else { bail!("it has no tensor as its result") };
    if result.is(target) {
        return Ok(Value::Tensor(result));
    }
    let (old, new) = (target.read()?, result.read()?);
    let same_shape = graph.shape(&old) == graph.shape(&new);
    if !same_shape || VIEWS.contains(&base) {
        bail!("it changes the shape of a tensor in place");
    }
    target.write(new)?;
    Ok(Value::Tensor(target.clone()))
}

/// Lets the result of an operator share the memory of its argument, as PyTorch does.
fn view(name: &str, arguments: &Arguments, value: Value) -> Result<Value> {
    if !VIEWS.contains(&name) {
        return Ok(value);
    }
    let share = |source: &Handle, value: Value| match value {
        Value::Tensor(result) if !result.is(source) => Ok(Value::Tensor(source.view_of(result.read()?))),
        other => Ok(other),
    };
    match (arguments.get(0, "self"), value) {
        (Some(Value::Tensor(source)), Value::List(results)) => {
            Value::list(results.elements().into_iter().map(|value| share(source, value)).collect::<Result<_>>()?)
        }
        (Some(Value::Tensor(source)), value) => share(source, value),
        (_, value) => Ok(value),
    }
}
