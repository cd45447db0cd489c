//! Chooses the outputs of a graph that make the policy, by the names that trainers give them.

use anyhow::{Result, anyhow, bail, ensure};

use super::interface::{NamedBy, Names};
use crate::model::Outputs;

/// An output of a graph, as far as the choice depends on it.
pub struct Candidate<'a> {
    pub name: &'a str,
    /// The random operator that it depends on.
    pub random: Option<&'a str>,
    /// The operator that keeps it within bounds.
    pub bound: Option<&'a str>,
    /// False if the graph declares another shape than [batch, action_dim].
    pub is_row: bool,
    /// False if the graph declares other numbers than floats.
    pub is_float: bool,
}

/// The outputs that were chosen: the action, or the mean and log_std in this order.
pub struct Chosen<'a> {
    pub names: Vec<&'a str>,
    pub outputs: Outputs,
    pub by: NamedBy,
}

/// Names of the mean before squashing. They count as such only beside a log_std.
const MEANS: &[&str] =
    &["mean", "mu", "loc", "means", "mus", "mean_action", "mean_actions", "action_mean", "actions_mean"];
const LOG_STDS: &[&str] = &[
    "log_std",
    "logstd",
    "log_stds",
    "logstds",
    "log_sigma",
    "logsigma",
    "log_scale",
    "action_log_std",
    "action_logstd",
    "actions_log_std",
];
/// Names of the action that is not sampled, which outrank those in [`ACTIONS`]. The first is that of ML-Agents.
const DETERMINISTIC_ACTIONS: &[&str] =
    &["deterministic_continuous_actions", "deterministic_action", "deterministic_actions", "action_deterministic"];
const ACTIONS: &[&str] = &["action", "actions", "continuous_action", "continuous_actions"];
/// Outputs of an actor-critic, whose mean is not squashed.
const VALUES: &[&str] = &["value", "values", "state_value", "state_values", "critic", "v"];
/// Outputs that are no actions, from ML-Agents, recurrent policies, critics and samplers.
const SIDE_OUTPUTS: &[&str] = &[
    "version_number",
    "memory_size",
    "is_continuous_control",
    "action_output_shape",
    "recurrent_out",
    "continuous_action_output_shape",
    "discrete_action_output_shape",
    "discrete_actions",
    "deterministic_discrete_actions",
    "log_prob",
    "log_probs",
    "logp",
    "logp_pi",
    "logp_a",
    "entropy",
    "q",
    "q_value",
    "q_values",
    "qvalue",
    "qvalues",
    "logits",
    "probs",
    "action_probs",
    "hidden",
    "h_out",
    "c_out",
    "h_n",
    "c_n",
    "state_out",
];

/// Chooses the outputs: those of the card, in its order, or else those that are known by their names, or else the only
/// one that can be an action.
///
/// # Errors
///
/// Fails if nothing can be chosen, or more than one set. The error names the outputs and the card's line that decides.
pub fn choose<'a>(all: &[Candidate<'a>], names: &Names) -> Result<Chosen<'a>> {
    match &names.outputs {
        Some(card) => by_card(all, card),
        None => by_name(all, names),
    }
}

fn by_card<'a>(all: &[Candidate<'a>], card: &[String]) -> Result<Chosen<'a>> {
    let outputs = match card {
        [_] => Outputs::Action,
        [mean, log_std] if mean != log_std => Outputs::MeanAndLogStd,
        _ => bail!("the card names the outputs {card:?}: one for the action is expected, or two, the mean and log_std"),
    };
    let mut names = vec![];
    for name in card {
        let Some(candidate) = all.iter().find(|candidate| candidate.name == name) else {
            bail!("the card names the output `{name}`: the graph has {}", list(all))
        };
        if candidate.random.is_some() {
            return Err(random_error(candidate));
        }
        names.push(candidate.name);
    }
    Ok(Chosen { names, outputs, by: NamedBy::Card })
}

fn by_name<'a>(all: &[Candidate<'a>], given: &Names) -> Result<Chosen<'a>> {
    let chosen = |names, outputs| Ok(Chosen { names, outputs, by: NamedBy::UsualName });
    let usual = |table| one_of(all, table);
    if let (Some(mean), Some(log_std)) = (usual(MEANS)?, usual(LOG_STDS)?) {
        let value = all.iter().find(|candidate| is_in(VALUES, candidate.name));
        ensure!(
            value.is_none(),
            "outputs `{}` and `{}` stand beside `{}`, as those of PPO do, whose mean is the action itself: if so, the card's \
             line is \"outputs\": [\"{}\"]; for SAC it is \"outputs\": [\"{}\", \"{}\"]",
            mean.name,
            log_std.name,
            value.map_or("", |value| value.name),
            mean.name,
            mean.name,
            log_std.name
        );
        ensure!(
            !mean.bound.is_some_and(is_squash) || given.has_squash,
            "output `{0}` is the result of a tanh or the like, and SAC takes the tanh of its mean: if it is the action, the card's line \
             is \"outputs\": [\"{0}\"]; if it is squashed again, \"outputs\": [\"{0}\", \"{1}\"]",
            mean.name,
            log_std.name
        );
        return chosen(vec![mean.name, log_std.name], Outputs::MeanAndLogStd);
    }
    for table in [DETERMINISTIC_ACTIONS, ACTIONS] {
        if let Some(action) = usual(table)? {
            return chosen(vec![action.name], Outputs::Action);
        }
    }
    the_only(all, given.has_examples)
}

/// Chooses the only output that can be an action, if the graph keeps it within bounds or examples prove it. Otherwise it
/// may as well be a mean before squashing, or a critic.
fn the_only<'a>(all: &[Candidate<'a>], has_examples: bool) -> Result<Chosen<'a>> {
    let side = [SIDE_OUTPUTS, VALUES, LOG_STDS];
    let eligible = |candidate: &&Candidate| {
        candidate.is_row && candidate.is_float && !side.iter().any(|table| is_in(table, candidate.name))
    };
    let open = all.iter().filter(eligible).collect::<Vec<_>>();
    ensure!(
        !open.is_empty() || all.iter().all(|candidate| candidate.is_float),
        "outputs of floats are expected, found {}, which give whole numbers: discrete actions are not served",
        list(all)
    );
    let (sampled, fixed) = open.into_iter().partition::<Vec<_>, _>(|candidate| candidate.random.is_some());
    let only = match (&fixed[..], &sampled[..]) {
        ([only], []) => only,
        // Beside a sampled action, a mean is the action without noise. Anything else may be no action at all.
        ([only], [_, ..]) if is_in(MEANS, only.name) => only,
        (_, [first, ..]) => return Err(random_error(first)),
        _ => bail!(
            "outputs `mean` and `log_std`, or `action`, are expected, found {}: name the right ones in the card, \
             \"outputs\": [\"ACTION\"] or \"outputs\": [\"MEAN\", \"LOG_STD\"]",
            list(all)
        ),
    };
    ensure!(
        only.bound.is_some_and(is_squash) || has_examples,
        "outputs `mean` and `log_std`, or `action`, are expected, found {}: `{1}` ends in no tanh, so that it may be \
         the action or a mean before squashing. If it is the action, the card's line is \"outputs\": [\"{1}\"]",
        list(all),
        only.name
    );
    Ok(Chosen { names: vec![only.name], outputs: Outputs::Action, by: NamedBy::OnlyOne })
}

/// Returns the output that goes by a name of the table. One that is sampled does not count.
fn one_of<'b, 'a>(all: &'b [Candidate<'a>], table: &[&str]) -> Result<Option<&'b Candidate<'a>>> {
    let named = all.iter().filter(|candidate| candidate.random.is_none() && is_in(table, candidate.name));
    let named = named.collect::<Vec<_>>();
    ensure!(
        named.len() < 2,
        "outputs `{}` and `{}` go by names of the same thing: name the right one in the card, \"outputs\": [\"…\"]",
        named[0].name,
        named[1].name
    );
    Ok(named.first().copied())
}

fn random_error(candidate: &Candidate) -> anyhow::Error {
    let (name, operator) = (candidate.name, candidate.random.unwrap_or_default());
    if ["Dropout", "BatchNormalization"].contains(&operator) {
        anyhow!(
            "output `{name}`: the graph has `{operator}` in training mode: call eval() on the module before the export"
        )
    } else {
        anyhow!("output `{name}`: the graph samples with `{operator}`: export the deterministic action")
    }
}

/// Returns `true` if an operator that bounds a value is a tanh or the like. A clip may as well be that of a mean.
pub fn is_squash(bound: &str) -> bool {
    bound != "Clip"
}

fn is_in(table: &[&str], name: &str) -> bool {
    table.iter().any(|usual| usual.eq_ignore_ascii_case(name))
}

fn list(all: &[Candidate]) -> String {
    super::interface::list(&all.iter().map(|candidate| candidate.name).collect::<Vec<_>>())
}
