//! Assigns roles to the layers of a scope by their names: which are hidden, and which the heads.

use super::scope::{Scope, is_foreign, number, series};
use super::table::{Heads, Layout};
use crate::model::Squash;

/// The names of an actor's layers by their roles.
#[derive(Debug, Clone)]
pub struct Roles {
    /// The hidden layers in the order of computation.
    pub hidden: Vec<String>,
    pub head: Head,
    /// A parameter of one standard deviation an action, which makes the policy a Gaussian.
    pub std_parameter: Option<String>,
}

/// The head of an actor, by the names of its layers.
#[derive(Debug, Clone)]
pub enum Head {
    /// A layer for the mean; a layer or a parameter for log_std.
    Pair(String, String),
    /// One layer for both.
    Joint(String),
    /// One layer for the mean.
    Mean(String),
    /// One layer, for the mean or for both.
    Open(String),
}

impl Roles {
    /// Returns the roles that a layout gives to the layers of a scope, or `None` if it does not fit.
    ///
    /// A layout fits if its heads are there and every other tensor of the scope has a role or is a setting. A layer that
    /// is left out would change the actions.
    pub fn assign(layout: &Layout, scope: &Scope) -> Option<Roles> {
        let is_there = (!layout.at_root || scope.prefix().is_empty()) && scope.prefix().ends_with(layout.under);
        let fits = is_there && layout.evidence.iter().all(|name| scope.has(name));
        // Any layers in a row could be an actor. They must lie where actors do, and be all there is.
        let is_likely = !matches!(layout.heads, Heads::Open) || scope.is_usual() && scope.is_all();
        (fits && is_likely).then_some(())?;
        let is_ignored = |name: &str| layout.ignored.iter().any(|prefix| name.starts_with(prefix));
        let mut layers = scope.layers();
        layers.retain(|name| !is_ignored(name));
        (layers.len() <= MAX_LAYERS).then_some(())?;
        let named = named_head(layout, scope)?;
        if let Some(head) = &named {
            layers.retain(|name| !head.names().contains(&name.as_str()));
        }
        let mut hidden = order(layout, layers, scope)?;
        // A head that is one of a series of layers is a network of its own.
        let is_in_series = |name: &&str| {
            let of_series = series(name);
            of_series.contains("{n}") && hidden.iter().any(|layer| series(layer) == of_series)
        };
        if named.iter().any(|head| head.names().iter().any(is_in_series)) {
            return None;
        }
        let head = match (named, &layout.heads) {
            (Some(head), _) => head,
            (None, Heads::Joint) => Head::Joint(hidden.pop()?),
            (None, Heads::Last) => Head::Mean(hidden.pop()?),
            (None, _) => Head::Open(hidden.pop()?),
        };
        let std_parameter = scope.std_parameter();
        // TD3 and DDPG have no standard deviation, and a Gaussian's mean is not squashed for certain.
        let is_td3 = matches!(layout.heads, Heads::Last | Heads::Mean(_)) && layout.squash == Some(Squash::Tanh);
        (!is_td3 || std_parameter.is_none() || layout.ignored.contains(&"log_std")).then_some(())?;
        let roles = Roles { hidden, head, std_parameter };
        let unexplained = scope.unexplained(&roles.hidden, &roles.head.names());
        let is_std = |name: &str| roles.std_parameter.as_deref() == Some(name);
        unexplained.into_iter().all(|name| is_ignored(name) || is_std(name)).then_some(roles)
    }

    /// Returns the names of all layers.
    pub fn names(&self) -> Vec<&str> {
        self.hidden.iter().map(String::as_str).chain(self.head.names()).collect()
    }
}

impl Head {
    pub fn names(&self) -> Vec<&str> {
        match self {
            Head::Pair(mean, log_std) => vec![mean, log_std],
            Head::Joint(name) | Head::Mean(name) | Head::Open(name) => vec![name],
        }
    }
}

/// The most layers that an actor may have.
const MAX_LAYERS: usize = 1024;
/// The most series of layers that are put in order by their dimensions.
const MAX_SERIES: usize = 4;
/// Layers that have no activation after them, or another one.
const UNFIT: &[&str] = &["features_extractor"];

/// Returns the head that the layout names: `None` inside if it names none, and `None` if the scope lacks it.
#[allow(clippy::option_option, reason = "a layout without a named head fits too")]
fn named_head(layout: &Layout, scope: &Scope) -> Option<Option<Head>> {
    let is_layer = |name: &&&str| scope.has(&format!("{name}.weight"));
    match &layout.heads {
        Heads::Pair { mean, log_std } => {
            let mean = mean.iter().find(is_layer)?;
            let log_std = log_std.iter().find(|name| scope.has_vector(name) || is_layer(name))?;
            Some(Some(Head::Pair((*mean).to_owned(), (*log_std).to_owned())))
        }
        Heads::Mean(mean) => Some(Some(Head::Mean((*mean.iter().find(is_layer)?).to_owned()))),
        Heads::Joint | Heads::Last | Heads::Open => Some(None),
    }
}

/// Puts layers in the order of computation: by series in the layout's order, or else by their dimensions, and by number
/// within a series.
fn order(layout: &Layout, layers: Vec<String>, scope: &Scope) -> Option<Vec<String>> {
    if layout.is_linear {
        return layers.is_empty().then_some(layers);
    }
    if !layout.trunk.is_empty() {
        return by_patterns(layout.trunk, layers);
    }
    let mut groups = Vec::<(String, Vec<String>)>::new();
    for name in layers {
        let series = series(&name);
        match groups.iter_mut().find(|(found, _)| *found == series) {
            Some((_, group)) => group.push(name),
            None => groups.push((series, vec![name])),
        }
    }
    groups.iter_mut().for_each(|(_, group)| group.sort_by_key(|name| number(name)));
    // A layer by the name of a critic or a target is no part of what the actor computes, and may not be left out either.
    let is_unfit = |series: &str| UNFIT.iter().any(|part| series.contains(part)) || series.split('.').any(is_foreign);
    let fits = !groups.iter().any(|(series, _)| is_unfit(series));
    (fits && groups.len() <= MAX_SERIES).then_some(())?;
    chain(groups.into_iter().map(|(_, group)| group).collect(), scope)
}

/// Puts layers in the order of the patterns that they match, each of which must match one at least.
fn by_patterns(patterns: &[&str], mut layers: Vec<String>) -> Option<Vec<String>> {
    let mut ordered = vec![];
    for pattern in patterns {
        let (before, after) = pattern.split_once("{n}")?;
        let index = |name: &str| name.strip_prefix(before)?.strip_suffix(after)?.parse::<u64>().ok();
        let mut matched = layers.extract_if(.., |name| index(name).is_some()).collect::<Vec<_>>();
        matched.sort_by_key(|name| index(name));
        (!matched.is_empty()).then_some(())?;
        ordered.append(&mut matched);
    }
    layers.is_empty().then_some(ordered)
}

/// Orders series so that each takes what the one before gives. Returns `None` if that is impossible, or possible in more
/// than one way.
fn chain(groups: Vec<Vec<String>>, scope: &Scope) -> Option<Vec<String>> {
    let ends = |group: &[String]| Some((scope.shape(group.first()?)?.1, scope.shape(group.last()?)?.0));
    let ends = groups.iter().map(|group| ends(group)).collect::<Option<Vec<_>>>()?;
    let mut found = permutations(groups.len());
    found.retain(|order| order.windows(2).all(|pair| ends[pair[0]].1 == ends[pair[1]].0));
    let [order] = &found[..] else { return groups.is_empty().then(Vec::new) };
    Some(order.iter().flat_map(|index| groups[*index].clone()).collect())
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for _ in 0..count {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let left = (0..count).filter(|index| !order.contains(index)).collect::<Vec<_>>();
                left.into_iter().map(move |index| [order.clone(), vec![index]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    all
}
