//! Finds the actor among the tensors of a file.

mod scope;
pub mod settings;
mod table;

use anyhow::{Context, Result, bail, ensure};
use scope::Scope;
pub use scope::is_foreign;
use table::{Heads, LAYOUTS, Layout};
pub use table::{LogStd, STABLE_BASELINES};

use crate::file::contents::Contents;
use crate::model::mlp::Linear;

/// An actor's layers, and how the file names them.
pub struct Found {
    pub layout: &'static str,
    /// Where the actor is in the file, with a dot at its end, or nothing: `actor.`.
    pub scope: String,
    pub trunk: Vec<Linear>,
    pub mean: Linear,
    pub log_std: Linear,
    pub log_std_rule: LogStd,
}

/// Finds the actor by the first layout that fits. The error lists the tensors found and the layouts known.
pub fn find(contents: &Contents) -> Result<Found> {
    let scopes = Scope::all(contents);
    for layout in LAYOUTS {
        let matches = scopes.iter().filter_map(|scope| Some((scope, plan(layout, scope)?)));
        let mut matches = matches.collect::<Vec<_>>();
        let best = matches.iter().map(|(scope, _)| scope.rank()).min();
        matches.retain(|(scope, _)| Some(scope.rank()) == best);
        // A joint head is found in every place that leads to it.
        if let (Heads::Joint, Some((outer, _))) = (&layout.heads, matches.first()) {
            let outer = outer.prefix().to_owned();
            matches.retain(|(scope, _)| scope.prefix() == outer || !scope.prefix().starts_with(&outer));
        }
        if matches.len() > 1 {
            let names = matches.iter().map(|(scope, _)| scope.name()).collect::<Vec<_>>().join(" and ");
            bail!("the file holds more than one actor, under {names}: one is expected, or one named `actor`");
        }
        if let Some((scope, plan)) = matches.into_iter().next() {
            check_outside(contents, scope)?;
            return read(layout, scope, plan).with_context(|| format!("the layout `{}`", layout.name));
        }
    }
    bail!("{}", unknown(contents))
}

/// Which layers are what, by their names.
struct Plan {
    trunk: Vec<String>,
    /// The heads; none when the last layer of the trunk is both.
    heads: Option<(String, String)>,
}

/// What a layout makes of a scope: nothing if its heads are not there. Once they are, everything else in the scope
/// must be explained: a layer that is left out would change the actions.
fn plan(layout: &Layout, scope: &Scope) -> Option<Plan> {
    let layers = scope.layers();
    let heads = match &layout.heads {
        // Any series of layers would do: it must lie where actors do, and be all there is.
        Heads::Joint if !scope.is_usual() || !scope.is_all() => return None,
        Heads::Joint => None,
        Heads::Named { mean, log_std } => {
            let mean = mean.iter().find(|name| scope.has(&format!("{name}.weight")));
            let log_std = log_std.iter().find(|name| scope.has(name) || scope.has(&format!("{name}.weight")));
            match (mean, log_std) {
                (Some(mean), Some(log_std)) => Some(((*mean).to_owned(), (*log_std).to_owned())),
                _ => return None,
            }
        }
    };
    let is_head = |name: &String| heads.as_ref().is_some_and(|(mean, log_std)| name == mean || name == log_std);
    if layers.len() > MAX_LAYERS {
        return None;
    }
    let mut trunk = layers.into_iter().filter(|name| !is_head(name)).collect::<Vec<_>>();
    trunk.sort_by_key(|name| scope::number(name));
    let of_one_series = trunk.windows(2).all(|pair| scope::series(&pair[0]) == scope::series(&pair[1]));
    let fits = trunk.iter().map(|name| scope::series(name)).all(|series| match layout.trunk {
        "*" => {
            let is_deterministic = heads.is_none() && DETERMINISTIC.contains(&series.as_str());
            !is_deterministic && !UNFIT.iter().any(|part| series.contains(part))
        }
        trunk => series == trunk,
    });
    let plan = Plan { trunk, heads };
    let has_head = plan.heads.is_some() || !plan.trunk.is_empty();
    (has_head && of_one_series && fits && scope.unexplained(&plan.names()).is_empty()).then_some(plan)
}

/// More than any actor has.
const MAX_LAYERS: usize = 1024;
/// Layers that have no activation, or another one, after them.
const UNFIT: &[&str] = &["features_extractor"];
/// What TD3's authors and Stable-Baselines3 call an actor whose last layer is the action, and no joint head.
const DETERMINISTIC: &[&str] = &["mu.{n}", "l{n}", "actor.mu.{n}", "actor.l{n}"];

/// A network before the actor, which it would not work without.
fn check_outside(contents: &Contents, scope: &Scope) -> Result<()> {
    let before = contents.tensors().map(|(name, _)| name).find(|name| {
        let outside = !name.starts_with(scope.prefix()) && !name.split('.').any(is_foreign);
        outside
            && name.ends_with(".weight")
            && ["encoder", "preprocess", "feature"].iter().any(|word| name.contains(word))
    });
    ensure!(
        before.is_none(),
        "`{}` lies before the actor: a network of its own is not served",
        before.unwrap_or_default()
    );
    Ok(())
}

/// Views on one storage can hold far more numbers than the file does, and so can layers that share their weights.
pub const MAX_NUMBERS: usize = 16 << 20;

impl Plan {
    fn names(&self) -> Vec<&str> {
        let heads = self.heads.iter().flat_map(|(mean, log_std)| [mean.as_str(), log_std.as_str()]);
        self.trunk.iter().map(String::as_str).chain(heads).collect()
    }
}

fn read(layout: &Layout, scope: &Scope, plan: Plan) -> Result<Found> {
    let numel = scope.numel(&plan.names());
    ensure!(numel <= MAX_NUMBERS, "the actor holds {numel} numbers, at most {MAX_NUMBERS} are served");
    let mut trunk = plan.trunk.iter().map(|name| scope.linear(name)).collect::<Result<Vec<_>>>()?;
    let (mean, log_std) = match &plan.heads {
        Some((mean, log_std)) => {
            let mean = scope.linear(mean)?;
            let log_std = if scope.has(log_std) { scope.parameter(log_std, &mean)? } else { scope.linear(log_std)? };
            (mean, log_std)
        }
        None => split(trunk.pop().context("no layer")?)?,
    };
    Ok(Found {
        layout: layout.name,
        scope: scope.prefix().to_owned(),
        trunk,
        mean,
        log_std,
        log_std_rule: layout.log_std,
    })
}

/// A joint head into its halves.
fn split(joint: Linear) -> Result<(Linear, Linear)> {
    let Linear { name, inputs, outputs, mut weight, mut bias } = joint;
    ensure!(
        outputs.is_multiple_of(2),
        "the last layer `{name}` gives {outputs} numbers: twice the action's are expected, its mean and its log_std"
    );
    let half = outputs / 2;
    let (log_std_weight, log_std_bias) = (weight.split_off(half * inputs), bias.split_off(half));
    let part =
        |what: &str, weight, bias| Linear { name: format!("{name} ({what})"), inputs, outputs: half, weight, bias };
    Ok((part("mean", weight, bias), part("log_std", log_std_weight, log_std_bias)))
}

fn unknown(contents: &Contents) -> String {
    const MOST: usize = 24;
    let tensors = contents.tensors().map(|(name, tensor)| format!("{name} {:?}", tensor.shape)).collect::<Vec<_>>();
    let more = tensors.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let layouts = LAYOUTS.iter().map(Layout::describe).collect::<Vec<_>>().join("; ");
    match tensors.len() {
        0 => format!("the file holds no tensors; the layouts known are {layouts}"),
        _ => format!(
            "no known layout of an actor: the file holds {}{more}; the layouts known are {layouts}",
            tensors[..tensors.len().min(MOST)].join(", ")
        ),
    }
}

impl Layout {
    fn describe(&self) -> String {
        match &self.heads {
            Heads::Joint => self.name.to_owned(),
            Heads::Named { mean, log_std } => {
                format!("{} ({}, {}, {})", self.name, self.trunk.replace('*', "any{n}"), mean[0], log_std[0])
            }
        }
    }
}
