//! The refusal of a file that lacks facts: which they are, and the line of a card or the flag that supplies them.

use super::gather::{Gathered, HeadKind};
use crate::card::Missing;
use crate::layout::{LostStatistics, TWO_HEADS, describe as describe_layers};

// No example is a value that fits a policy by accident: each must be replaced.

const KINDS: &str = "\"kind\": \"sac|deterministic|gaussian\"";
const EXAMPLES: &str = "\"examples\": [{\"state\": […], \"action\": […]}, …]";
const ASSUMED: &str = ". The action is then tanh of the mean, and log_std is clamped, unless \"kind\", \"squash\" or \
                      \"examples\" in the card say otherwise";
pub const BOUNDS_FLAG: &str = "--action-bounds LOW:HIGH";

/// Returns the entries of a card for the bounds of so many actions.
pub fn bounds_of_card(action_dim: usize) -> String {
    let list = |name: &str| vec![name; action_dim.min(8)].join(", ");
    format!("\"action_low\": [{}], \"action_high\": [{}]", list("LOW"), list("HIGH"))
}

/// Returns the facts that nothing gives.
pub fn missing_of(gathered: &Gathered) -> Vec<Missing> {
    let action_dim = gathered.action_dims().first().copied().unwrap_or(1);
    let of = |is_missing: bool, name, card: &str, flag, keys| {
        is_missing.then(|| Missing { name, card: card.to_owned(), flag, keys })
    };
    [
        of(gathered.head.is_missing(), "the kind", KINDS, None, &["kind"][..]),
        of(gathered.foreign_code.is_some(), "what its code does", KINDS, None, &["kind"]),
        of(gathered.norms.is_some(), "the kind of its normalisation layers", EXAMPLES, None, &[]),
        of(gathered.actor.is_chain, "the order of the layers", EXAMPLES, None, &[]),
        of(
            gathered.activation.is_missing(),
            "the activation",
            "\"activation\": \"NAME\"",
            Some("--activation NAME"),
            &["activation"],
        ),
        of(gathered.squash.is_missing(), "the squash", "\"squash\": \"tanh|none|clip\"", None, &["squash"]),
        of(gathered.mean_step.is_missing(), "the clip of the mean", EXAMPLES, None, &[]),
        of(
            gathered.bounds.is_missing() && !is_unsquashed(gathered),
            "the action bounds",
            &bounds_of_card(action_dim),
            Some(BOUNDS_FLAG),
            &["action_low", "action_high"],
        ),
        of(
            gathered.normalisation.is_missing(),
            "the normalisation of observations",
            "\"obs_mean\": […], \"obs_std\": […], \"clip_obs\": CLIP",
            None,
            &["obs_mean", "obs_std", "clip_obs"],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Describes what is missing in two sentences: what was recognised and lacks what, and what supplies it.
pub fn describe(gathered: &Gathered, missing: &[Missing]) -> String {
    let layout = gathered.actor.layout.name;
    let shape = describe_layers(gathered.actor);
    let names = list(&missing.iter().map(|missing| missing.name).collect::<Vec<_>>());
    let plural = missing.len() > 1 || missing[0].name == "the action bounds";
    let (is, it) = if plural { ("are", "them") } else { ("is", "it") };
    let card = missing.iter().map(|missing| missing.card.as_str()).collect::<Vec<_>>().join(", ");
    let flags = missing.iter().map(|missing| missing.flag).collect::<Option<Vec<_>>>();
    let flags = flags.map(|flags| format!(", or start with {}", flags.join(" "))).unwrap_or_default();
    let why = why(gathered, missing);
    if let (Some(lost), [_]) = (gathered.lost_statistics.as_ref().filter(|lost| lost.are_beside), missing) {
        return format!(
            "{}. Save its own by env.save(…) as FILE.vecnormalize.pkl; or write {{\"normalisation\": \"none\"}} into \
             FILE.policy.json beside it if it was trained without VecNormalize, or {{\"normalisation\": \"vecnormalize\"}} if \
             these statistics count all the same",
            lost.evidence
        );
    }
    let lost = gathered.lost_statistics.as_ref().map(remedies).unwrap_or_default();
    let assumed = if layout == TWO_HEADS { ASSUMED } else { "" };
    format!(
        "{names} {is} missing: the file has an actor of the layout `{layout}` ({shape}) and does not say {it}{why}. Write \
         {{{card}}} with its own values into FILE.policy.json beside it{flags}{lost}{assumed}"
    )
}

/// Returns what supplies statistics beside a card of them.
fn remedies(lost: &LostStatistics) -> String {
    let remedy = lost.remedy.map(|remedy| format!("; or {remedy}")).unwrap_or_default();
    format!(
        "{remedy}; or write {{\"normalisation\": \"none\"}} if the states of requests come normalised, or were not normalised \
         in training"
    )
}

/// Explains what makes a fact uncertain that one would expect to be known.
fn why(gathered: &Gathered, missing: &[Missing]) -> String {
    if let Some(class) = &gathered.foreign_code {
        return format!(
            ": the code of `{class}` is not in the file. If it applies the layers in order, an activation after each, and \
             nothing else, its kind says so; examples in the card prove it"
        );
    }
    if let Some(lost) = &gathered.lost_statistics {
        return format!(": {}", lost.evidence);
    }
    let is_activation = missing.iter().any(|missing| missing.name == "the activation");
    if let (Some(class), true) = (&gathered.class, is_activation) {
        return format!(": the code of its class `{class}` is not in the file");
    }
    if let Some(norm) = &gathered.norms {
        return format!(
            ": `{norm}` may be a LayerNorm or another, with any epsilon, before the activation or after it"
        );
    }
    if let Some(unexplained) = &gathered.unexplained {
        let look = if unexplained.names.contains(" and ") { "look" } else { "looks" };
        return format!(": {} {look} like statistics of observations by a name that is not known", unexplained.names);
    }
    if missing.iter().any(|missing| missing.name == "the kind") {
        let outputs = gathered.actor.head.last().outputs;
        let kinds = gathered.head.to_try(true);
        if kinds.iter().any(|kind| kind.value == HeadKind::Gaussian) {
            return format!(
                ": its {outputs} outputs could be {outputs} actions (\"deterministic\", \"gaussian\"), or mean and log_std \
                 of {} (\"sac\")",
                outputs / 2
            );
        }
    }
    String::new()
}

/// Returns `true` if the squash is known to be none, so that bounds do not matter.
fn is_unsquashed(gathered: &Gathered) -> bool {
    gathered.squash.known().is_some_and(|squash| squash.value == crate::model::Squash::None)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
