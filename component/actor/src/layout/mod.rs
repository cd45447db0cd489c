//! Finds the actor among the tensors of a file, and the settings that belong to it.

mod roles;
mod scope;
mod settings;
mod table;

use anyhow::{Context, Result, bail, ensure};
pub use settings::PolicySettings;
pub use table::STABLE_BASELINES3;

use crate::file::Contents;
use crate::model::{Linear, LogStd, MAX_WEIGHTS};
use roles::Roles;
use scope::{Scope, is_foreign};
use table::{Heads, LAYOUTS, Layout};

/// The layers of an actor, and where the file has them.
pub struct ActorLayers {
    pub layout: &'static str,
    /// The prefix of the actor's tensors, such as `actor.`; empty if there is none.
    pub scope: String,
    pub trunk: Vec<Linear>,
    pub mean: Linear,
    pub log_std: Linear,
    pub log_std_rule: LogStd,
}

/// Finds the actor by the first layout that fits.
///
/// # Errors
///
/// Fails if no layout fits, or if one fits more than one actor. The error lists the tensors of the file and the known
/// layouts.
pub fn find(contents: &Contents) -> Result<ActorLayers> {
    let scopes = Scope::all(contents);
    for layout in LAYOUTS {
        let matches = scopes.iter().filter_map(|scope| Some((scope, Roles::assign(layout, scope)?)));
        let mut matches = matches.collect::<Vec<_>>();
        let best = matches.iter().map(|(scope, _)| scope.rank()).min();
        matches.retain(|(scope, _)| Some(scope.rank()) == best);
        // A joint head fits every scope around it as well. The outermost one counts.
        if let (Heads::Joint, Some((outer, _))) = (&layout.heads, matches.first()) {
            let outer = outer.prefix().to_owned();
            matches.retain(|(scope, _)| scope.prefix() == outer || !scope.prefix().starts_with(&outer));
        }
        if matches.len() > 1 {
            let names = matches.iter().map(|(scope, _)| scope.name()).collect::<Vec<_>>().join(" and ");
            bail!("the file holds more than one actor, under {names}: one is expected, or one named `actor`");
        }
        if let Some((scope, roles)) = matches.into_iter().next() {
            check_outside(contents, scope)?;
            return read(layout, scope, &roles).with_context(|| format!("the layout `{}`", layout.name));
        }
    }
    bail!("{}", unknown(contents))
}

/// Refuses a network in front of the actor, without which the actor would compute something else.
fn check_outside(contents: &Contents, scope: &Scope) -> Result<()> {
    let before = contents.tensors().map(|(name, _)| name).find(|name| {
        let outside = !name.starts_with(scope.prefix()) && !name.split('.').any(is_foreign);
        outside
            && name.ends_with(".weight")
            && ["encoder", "preprocess", "feature"].iter().any(|word| name.contains(word))
    });
    ensure!(
        before.is_none(),
        "`{}` lies before the actor: a network in front of it is not served",
        before.unwrap_or_default()
    );
    Ok(())
}

fn read(layout: &Layout, scope: &Scope, roles: &Roles) -> Result<ActorLayers> {
    let numel = scope.numel(&roles.names());
    ensure!(numel <= MAX_WEIGHTS, "the actor holds {numel} numbers, at most {MAX_WEIGHTS} are served");
    let mut trunk = roles.trunk.iter().map(|name| scope.linear(name)).collect::<Result<Vec<_>>>()?;
    let (mean, log_std) = match &roles.heads {
        Some((mean, log_std)) => {
            let mean = scope.linear(mean)?;
            let log_std = if scope.has(log_std) { scope.parameter(log_std, &mean)? } else { scope.linear(log_std)? };
            (mean, log_std)
        }
        None => split(trunk.pop().context("the actor has no layer")?)?,
    };
    Ok(ActorLayers {
        layout: layout.name,
        scope: scope.prefix().to_owned(),
        trunk,
        mean,
        log_std,
        log_std_rule: layout.log_std,
    })
}

/// Splits a joint head into the mean's half and log_std's.
fn split(joint: Linear) -> Result<(Linear, Linear)> {
    let Linear { name, inputs, outputs, mut weight, mut bias } = joint;
    ensure!(
        outputs.is_multiple_of(2),
        "the last layer `{name}` gives {outputs} numbers: an even number is expected, the mean and then the log_std"
    );
    let half = outputs / 2;
    let (log_std_weight, log_std_bias) = (weight.split_off(half * inputs), bias.split_off(half));
    let part =
        |which: &str, weight, bias| Linear { name: format!("{name} ({which})"), inputs, outputs: half, weight, bias };
    Ok((part("mean", weight, bias), part("log_std", log_std_weight, log_std_bias)))
}

/// Returns the error for a file that no layout fits.
fn unknown(contents: &Contents) -> String {
    const MAX_LISTED: usize = 24;
    let tensors = contents.tensors().map(|(name, tensor)| format!("{name} {:?}", tensor.shape)).collect::<Vec<_>>();
    let more = tensors.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let layouts = LAYOUTS.iter().map(Layout::describe).collect::<Vec<_>>().join("; ");
    match tensors.len() {
        0 => format!("the file holds no tensors; the layouts known are {layouts}"),
        _ => format!(
            "no known layout of an actor: the file holds {}{more}; the layouts known are {layouts}",
            tensors[..tensors.len().min(MAX_LISTED)].join(", ")
        ),
    }
}
