//! Finds the actor among the tensors of a file, and the settings that belong to it.

mod actor;
mod batch_norm;
mod names;
mod roles;
mod scope;
mod settings;
mod table;

pub use actor::{ActorHead, ActorLayers, describe, split};
use anyhow::{Result, bail, ensure};
pub use settings::{Check, LostStatistics, Named, PolicySettings, Unexplained, refuse};
pub use table::{Layout, OF_STABLE_BASELINES3, STABLE_BASELINES3_SDE, TIANSHOU, TWO_HEADS};

use crate::file::{Contents, Leaf, Tensor};
use actor::in_layout;
use roles::Roles;
use scope::{Scope, is_foreign};
use table::{Heads, LAYOUTS};

/// Finds the actor by the first layout that fits.
///
/// # Errors
///
/// Fails if no layout fits, or if one fits more than one actor. The error lists the actor's part of the file and the known
/// layouts.
pub fn find(contents: &Contents) -> Result<ActorLayers> {
    let scopes = Scope::all(contents);
    for layout in LAYOUTS {
        if !layout.file_evidence.iter().all(|name| contents.get(name).is_some()) {
            continue;
        }
        let has_other = |scope: &Scope| {
            layout.without.iter().any(|name| contents.get(&format!("{}{name}", scope.prefix())).is_some())
        };
        let likely = scopes.iter().filter(|scope| !has_other(scope));
        let matches = likely.filter_map(|scope| Some((scope, Roles::assign(layout, scope)?)));
        let mut matches = matches.collect::<Vec<_>>();
        let everywhere = matches.clone();
        let best = matches.iter().map(|(scope, _)| scope.rank()).min();
        matches.retain(|(scope, _)| Some(scope.rank()) == best);
        // Layers in a row fit every scope around them as well. The outermost one counts.
        if let (Heads::Joint | Heads::Last | Heads::Open, Some((outer, _))) = (&layout.heads, matches.first()) {
            let outer = outer.prefix().to_owned();
            matches.retain(|(scope, _)| scope.prefix() == outer || !scope.prefix().starts_with(&outer));
        }
        let Some((scope, roles)) = matches.first() else { continue };
        let actor = in_layout(ActorLayers::read(layout, scope, roles), layout)?;
        check_outside(contents, scope, actor.state_dim())?;
        let is_nested = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        let others = everywhere.iter().filter(|(other, _)| !is_nested(other.prefix(), scope.prefix()));
        for (scope, roles) in others {
            let other = in_layout(ActorLayers::read(layout, scope, roles), layout)?;
            if !actor.is_same(&other) && actor.is_like(&other) {
                let names = [matches[0].0.name(), scope.name()].join(" and ");
                bail!("the file holds more than one actor, under {names}: save the one that is to serve alone");
            }
        }
        return Ok(actor);
    }
    bail!("{}", unknown(contents))
}

/// Returns the class of a policy of Stable-Baselines3 or sb3-contrib that has another actor: PPO's, A2C's, DQN's and others.
pub fn other_policy(contents: &Contents) -> Option<&str> {
    const OTHERS: [&str; 5] = [".common.policies.", ".dqn.", ".qrdqn.", ".ars.", ".common.recurrent."];
    let Some(Leaf::Class(class)) = contents.get("policy_class") else { return None };
    let of_library = ["stable_baselines3.", "sb3_contrib."].iter().any(|library| class.starts_with(library));
    (of_library && OTHERS.iter().any(|other| class.contains(other))).then_some(class.as_str())
}

/// Refuses a features extractor of Stable-Baselines3 that changes what a state is, with weights or without. The file names
/// it among the arguments of its policy.
pub fn check_features_extractor(contents: &Contents) -> Result<()> {
    const NAME: &str = "features_extractor_class";
    const SERVED: [&str; 2] = ["FlattenExtractor", "CombinedExtractor"];
    let found = contents.iter().find_map(|(name, leaf)| match leaf {
        Leaf::Class(class) if name.rsplit('.').next() == Some(NAME) => Some(class.as_str()),
        _ => None,
    });
    let is_served = |class: &str| {
        class.strip_prefix("stable_baselines3.common.torch_layers.").is_some_and(|class| SERVED.contains(&class))
    };
    ensure!(
        found.is_none_or(is_served),
        "the model has the features extractor {}: Stable-Baselines3's FlattenExtractor is expected; any policy is served as \
         an ONNX graph or a TorchScript program that gives the action",
        found.unwrap_or_default()
    );
    Ok(())
}

/// Refuses a network in front of the actor, without which the actor would compute something else.
fn check_outside(contents: &Contents, scope: &Scope, state_dim: usize) -> Result<()> {
    const WORDS: [&str; 8] = ["encoder", "preprocess", "feature", "backbone", "shared", "torso", "embed", "stem"];
    let before = contents.tensors().find(|(name, tensor)| {
        let outside = !name.starts_with(scope.prefix()) && !name.split('.').any(is_foreign);
        // Its output could be what the actor takes for a state.
        let fits = tensor.shape.len() == 2 && tensor.shape[0] == state_dim;
        outside && name.ends_with(".weight") && (fits || WORDS.iter().any(|word| name.contains(word)))
    });
    let before = before.map(|(name, _)| name);
    ensure!(
        before.is_none(),
        "`{}` lies before the actor: a network in front of it is not served",
        before.unwrap_or_default()
    );
    Ok(())
}

/// Returns the error for a file that no layout fits. The tensors of critics and optimizers are left out.
fn unknown(contents: &Contents) -> String {
    const MAX_LISTED: usize = 12;
    let (others, tensors): (Vec<_>, Vec<_>) = contents.tensors().partition(|(name, _)| name.split('.').any(is_foreign));
    let describe = |(name, tensor): &(&str, &Tensor)| match tensor.unread_reason() {
        Some(reason) => format!("{name} ({reason})"),
        None => format!("{name} {:?}", tensor.shape),
    };
    let listed = tensors.iter().take(MAX_LISTED).map(describe).collect::<Vec<_>>().join(", ");
    let more = tensors.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let critics = match others.len() {
        0 => String::new(),
        count => format!("; {count} tensors of critics and optimizers are left out"),
    };
    match (tensors.len(), others.len()) {
        (0, 0) => {
            "the file holds no tensors: a state_dict, a module or a model of a known library is expected".to_owned()
        }
        (0, count) => {
            format!("the file holds no actor, only {count} tensors of critics and optimizers: save the actor as well")
        }
        _ => format!(
            "no known layout of an actor: the file holds {listed}{more}{critics}. Layers in a row with heads such as `mean` and \
             `log_std` are read; any policy is served as an ONNX graph or a TorchScript program that gives the action"
        ),
    }
}
