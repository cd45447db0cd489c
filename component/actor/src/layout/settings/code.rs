//! The code that a file refers to and does not contain: classes of networks, whose `forward` may do anything.

use super::PolicySettings;
use crate::file::Leaf;
use crate::layout::ActorLayers;

/// The packages whose classes do what the layouts' table says of them.
const PACKAGES: [&str; 17] = [
    "torch.",
    "torchrl.",
    "tensordict.",
    "stable_baselines3.",
    "sb3_contrib.",
    "tianshou.",
    "spinup.",
    "rlkit.",
    "pfrl.",
    "elegantrl.",
    "ray.",
    "d3rlpy.",
    "xuance.",
    "omnisafe.",
    "garage.",
    "sheeprl.",
    "mushroom_rl.",
];

/// The layouts of single-file implementations, which have no package of their own.
const SCRIPTS: [&str; 5] = [CLEANRL, "pytorch-soft-actor-critic", "pytorch_sac", "corl", "mushroom-rl"];

/// CleanRL's scripts are made to be edited. Their classes have names with these words.
const CLEANRL: &str = "cleanrl";
const OF_CLEANRL: [&str; 2] = ["Actor", "Agent"];

/// The classes of Spinning Up, whose module is often copied.
const COPIED: [&str; 3] = ["SquashedGaussianMLPActor", "MLPActorCritic", "MLPActor"];

impl PolicySettings<'_> {
    /// Returns the class of the actor, of a module around it or of one within it, whose code is neither in the file nor in a
    /// known package. Layers and activations do not show what such a `forward` does with them.
    pub fn foreign_code(&self, layers: &ActorLayers) -> Option<String> {
        let is_layout = |script: &&str| layers.layout.name.starts_with(*script);
        let is_unedited =
            |class: &str| !is_layout(&CLEANRL) || OF_CLEANRL.iter().any(|word| name_of(class).contains(word));
        let of_script = |class: &str| SCRIPTS.iter().any(is_layout) && is_unedited(class);
        let is_foreign = |class: &&str| {
            !PACKAGES.iter().any(|package| class.starts_with(package)) && !COPIED.contains(&name_of(class))
        };
        let mut classes = self.outer_classes();
        // The scripts have no modules around their actors.
        let own = classes.next().filter(|class| is_foreign(class) && !of_script(class));
        let outer = own.or_else(|| classes.find(is_foreign));
        let policy = self.text(&["policy_class"]).filter(is_foreign);
        let inner = || self.foreign_module(is_foreign).or_else(|| self.foreign_hook(is_foreign));
        outer.or(policy).or_else(inner).map(str::to_owned)
    }

    /// Returns the classes of the actor and of the modules around it, from the inside out. An object around it counts as
    /// well if nothing else has a class: the actor is a part of it.
    fn outer_classes(&self) -> impl Iterator<Item = &str> {
        let own = self.scope.trim_end_matches('.');
        let around = own.match_indices('.').map(|(at, _)| &own[..at]).rev();
        let class = |name: &str| match self.contents.get(name) {
            Some(Leaf::Class(class)) => Some(class.as_str()),
            _ => None,
        };
        let is_module = |name: &&str| self.contents.get(&format!("{name}.training")).is_some();
        let modules = class(own).into_iter().chain(around.filter(is_module).filter_map(class)).collect::<Vec<_>>();
        let root = self.contents.root_class().filter(|_| modules.is_empty() || self.contents.get("training").is_some());
        modules.into_iter().chain(root)
    }

    /// Returns the name of a foreign function that PyTorch calls before or after a module, and which may change its output.
    fn foreign_hook(&self, is_foreign: impl Fn(&&str) -> bool) -> Option<&str> {
        self.contents.iter().find_map(|(name, leaf)| {
            let Leaf::Class(function) = leaf else { return None };
            let is_hook = name.split('.').any(|part| ["_forward_hooks", "_forward_pre_hooks"].contains(&part));
            (is_hook && is_foreign(&function.as_str())).then_some(function.as_str())
        })
    }

    /// Returns the class of a foreign module within the actor. Modules have a flag for training.
    fn foreign_module(&self, is_foreign: impl Fn(&&str) -> bool) -> Option<&str> {
        self.contents.iter().find_map(|(name, leaf)| {
            let Leaf::Class(class) = leaf else { return None };
            let inside = name.strip_prefix(self.scope).is_some_and(|rest| !rest.is_empty());
            let is_module = inside && self.contents.get(&format!("{name}.training")).is_some();
            (is_module && is_foreign(&class.as_str())).then_some(class.as_str())
        })
    }
}

/// Returns a class's name without its module.
fn name_of(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or_default()
}
