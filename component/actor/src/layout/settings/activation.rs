//! The activations that a file names, by the modules of the network, by a function that it keeps, or in a config.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::{CONFIGS, PolicySettings};
use crate::file::Leaf;
use crate::layout::actor::modules_after;
use crate::layout::scope::{is_foreign, number, series};
use crate::layout::{ActorLayers, STABLE_BASELINES3_SDE};
use crate::model::{Activation, Squash};

/// Names that trainers give to the setting.
const NAMES: [&str; 8] = [
    "activation",
    "activation_fn",
    "activation_function",
    "act_fn",
    "hidden_activation",
    "nonlinearity",
    "hidden_nonlinearity",
    "config.actor_encoder_factory.params.activation",
];

/// The activations that a file names.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// One for every hidden layer, and the name under which the file has it.
    All(Activation, String),
    /// One for each hidden layer, by the modules that follow them.
    Each(Vec<Activation>),
}

/// A module of a network that was saved whole.
struct Module {
    name: String,
    activation: Activation,
}

impl PolicySettings<'_> {
    /// Returns the activations of the hidden layers, or `None` if the file does not name them. The modules of the network
    /// outrank a function that it keeps, and that a config.
    pub fn activation(&self, layers: &ActorLayers) -> Result<Option<Named>> {
        let modules = self.modules(layers.layout.name == STABLE_BASELINES3_SDE)?;
        self.check_parameters_of_config()?;
        let first = layers.trunk.first().map_or(&layers.head.last().name, |hidden| &hidden.linear.name);
        let is_before =
            |module: &&Module| series(&module.name) == series(first) && number(&module.name) < number(first);
        if let Some(module) = modules.iter().find(is_before) {
            bail!(
                "`{}` applies {} to the state, which is not served: export the policy to ONNX",
                module.name,
                module.activation.name()
            );
        }
        if let Some(each) = each_by_modules(layers, &modules) {
            return Ok(Some(Named::Each(each)));
        }
        let found = modules.iter().filter(|module| !is_after_head(module, layers)).collect::<Vec<_>>();
        // A layer of a series without a module after it would go without an activation.
        let is_of_series =
            |module: &&&Module| layers.trunk.iter().any(|hidden| series(&hidden.linear.name) == series(&module.name));
        if let Some(module) = found.iter().find(is_of_series) {
            bail!("`{}` follows some of the layers, and the file does not say what follows the others", module.name);
        }
        if let Some(first) = found.first() {
            for module in &found {
                let own = module.name.rsplit('.').next().unwrap_or_default();
                let is_plain = is_named(own) || Activation::parse(own).is_ok() || own.parse::<u64>().is_ok();
                ensure!(
                    is_plain,
                    "the network has {} as `{}`, and the file does not say where it is applied",
                    module.activation.name(),
                    module.name
                );
            }
            let names = found.iter().map(|module| module.activation.name()).collect::<BTreeSet<_>>();
            ensure!(
                names.len() == 1,
                "the network has the activations {}: the file does not say which layer each follows",
                names.into_iter().collect::<Vec<_>>().join(" and ")
            );
            return Ok(Some(Named::All(first.activation, format!("the module `{}`", first.name))));
        }
        if let Some(named) = self.function()? {
            return Ok(Some(named));
        }
        self.check_other_names()?;
        match self.find(&NAMES) {
            Some((name, Leaf::Class(class))) if !class.starts_with("torch.") => {
                bail!("`{name}` is {class}, whose code is not in the file: an activation of torch.nn is expected")
            }
            Some((name, Leaf::Text(text) | Leaf::Class(text))) => match Activation::parse(text) {
                Ok(activation) => Ok(Some(Named::All(activation, format!("`{name}`")))),
                Err(error) => Err(error.context(format!("`{name}`"))),
            },
            Some((name, _)) => bail!("`{name}` is not the name of an activation"),
            None => Ok(None),
        }
    }

    /// Returns the squash that a module after the last layer applies.
    pub fn squash_module(&self, layers: &ActorLayers) -> Result<Option<(Squash, String)>> {
        let modules = self.modules(layers.layout.name == STABLE_BASELINES3_SDE)?;
        let mut after = modules.iter().filter(|module| is_after_head(module, layers));
        let (first, second) = (after.next(), after.next());
        if let (Some(first), Some(second)) = (first, second) {
            bail!("both `{}` and `{}` follow the last layer: one activation is expected", first.name, second.name);
        }
        match first {
            Some(Module { name, activation: Activation::Tanh }) => {
                Ok(Some((Squash::Tanh, format!("the module `{name}`"))))
            }
            Some(Module { name, activation }) => {
                bail!("`{name}` applies {} to the action, which is not served: tanh is", activation.name())
            }
            None => Ok(None),
        }
    }

    /// Returns the activations among the modules of a network that was saved whole. A module that would change the
    /// actions and is not served is an error.
    fn modules(&self, of_sde: bool) -> Result<Vec<Module>> {
        let mut found = vec![];
        for (name, leaf) in self.contents.iter() {
            let Leaf::Class(class) = leaf else { continue };
            let inside = name.strip_prefix(self.scope).is_some_and(|name| !name.split('.').any(is_foreign));
            let Some(class) = class.strip_prefix("torch.nn.modules.").filter(|_| inside) else { continue };
            // A class in a config is no part of the network.
            if CONFIGS.contains(&name.split('.').next().unwrap_or_default()) || !self.is_module(name) {
                continue;
            }
            match class.split_once('.') {
                // A Hardtanh bounds the mean of gSDE, whose limit is a setting.
                Some(("activation", "Hardtanh")) if of_sde => {}
                Some(("activation", class)) => {
                    self.check_parameters(name, class)?;
                    let name = name.strip_prefix(self.scope).unwrap_or(name).to_owned();
                    found.push(Module { name, activation: Activation::parse(class)? });
                }
                Some(("normalization", "LayerNorm")) => self.check_layer_norm(name)?,
                // Its tensors are read by name.
                Some(("batchnorm", "BatchNorm1d")) => self.check_epsilon(name, "BatchNorm1d")?,
                Some(("linear", _) | ("container", _) | ("dropout", _) | ("flatten", _)) | None => {}
                Some(_) => bail!("the network has the layer `{name}`, a {class}, which is not served"),
            }
        }
        Ok(found)
    }

    /// Returns the activation that the actor keeps as a function, such as `torch.nn.functional.elu`, under any name but
    /// that of its output's.
    fn function(&self) -> Result<Option<Named>> {
        let mut found = None::<(Activation, &str)>;
        for (name, leaf) in self.contents.iter() {
            let Leaf::Class(class) = leaf else { continue };
            let Some(own) = name.strip_prefix(self.scope).filter(|own| !own.contains('.')) else { continue };
            let is_function = class.starts_with("torch.nn.functional.")
                || class.starts_with("torch.") && class.matches('.').count() == 1;
            let is_output = ["output", "final", "last"].iter().any(|word| own.contains(word));
            if is_output || self.is_module(name) {
                continue;
            }
            let activation = match Activation::parse(class) {
                Ok(activation) if is_function || is_named(own) => activation,
                // A function that is not known may be anything.
                Err(_) if is_named(own) => bail!("`{name}` is {class}, which is no activation that is served"),
                _ => continue,
            };
            ensure!(
                found.is_none_or(|(first, _)| first == activation),
                "the network keeps more than one activation: `{}` and `{name}`",
                found.map_or("", |(_, name)| name)
            );
            found = Some((activation, name));
        }
        Ok(found.map(|(activation, name)| Named::All(activation, format!("`{name}`"))))
    }

    /// Returns `true` if the name is that of an object. An object has attributes; a mere class has none.
    fn is_module(&self, name: &str) -> bool {
        self.contents.has_below(&format!("{name}."))
    }

    /// Checks that the parameters of an activation are PyTorch's defaults, which are the only ones served.
    fn check_parameters(&self, name: &str, class: &str) -> Result<()> {
        let defaults =
            [("negative_slope", Activation::LEAKY_SLOPE), ("alpha", 1.0), ("beta", 1.0), ("threshold", 20.0)];
        for (parameter, default) in defaults {
            let set = self.contents.get(&format!("{name}.{parameter}")).map(Leaf::numbers).transpose()?.flatten();
            let set = set.unwrap_or_else(|| vec![default.into()]);
            let is_default = matches!(set[..], [set] if set as f32 == default);
            ensure!(is_default, "`{name}.{parameter}` is {set:?}: {default} is expected of a {class}");
        }
        match self.contents.get(&format!("{name}.approximate")) {
            Some(Leaf::Text(text)) if text != "none" => {
                bail!("`{name}.approximate` is {text}: the exact GELU is served")
            }
            _ => Ok(()),
        }
    }

    /// Checks that a LayerNorm has weights, without which its place in the network is not in the tensors, and PyTorch's
    /// epsilon.
    fn check_layer_norm(&self, name: &str) -> Result<()> {
        ensure!(
            self.contents.get(&format!("{name}.weight")).is_some(),
            "`{name}` is a LayerNorm without weights, which is not served: export the policy to ONNX"
        );
        self.check_epsilon(name, "LayerNorm")
    }

    /// Returns `true` if the file says that the module of this name within the actor is a LayerNorm, and that nothing but an
    /// activation lies between it and the layer before it.
    pub fn is_layer_norm_in_order(&self, name: &str) -> bool {
        let class = |name: &str| match self.contents.get(&format!("{}{name}", self.scope)) {
            Some(Leaf::Class(class)) => Some(class.as_str()),
            _ => None,
        };
        let before = (number(name).checked_sub(1)).map(|index| series(name).replace("{n}", &index.to_string()));
        let before = before.as_deref().and_then(class).unwrap_or_default();
        let is_norm = class(name).is_some_and(|class| class.ends_with(".LayerNorm"));
        is_norm
            && (before.starts_with("torch.nn.modules.activation.") || before.starts_with("torch.nn.modules.linear."))
    }

    /// Returns `true` if the file says that the module of this name within the actor is a batch normalisation.
    pub fn is_batch_norm(&self, name: &str) -> bool {
        let class = self.contents.get(&format!("{}{name}", self.scope));
        matches!(class, Some(Leaf::Class(class)) if class.contains(".batchnorm.BatchNorm") || class.ends_with(".BatchRenorm"))
    }

    fn check_epsilon(&self, name: &str, class: &str) -> Result<()> {
        let epsilon = self.contents.get(&format!("{name}.eps")).map(Leaf::numbers).transpose()?.flatten();
        let is_default = epsilon.is_none_or(|epsilon| matches!(epsilon[..], [epsilon] if epsilon == 1e-5));
        ensure!(is_default, "`{name}.eps` is not 0.00001, which is expected of a {class}");
        Ok(())
    }

    /// Refuses settings that name different activations, none of which is a critic's.
    fn check_other_names(&self) -> Result<()> {
        let mut found = None::<(&str, Activation)>;
        for (name, leaf) in self.contents.iter() {
            let is_activation = name.to_lowercase().contains("activ") && !name.split('.').any(is_foreign);
            let is_output = ["output", "final", "last"].iter().any(|word| name.contains(word));
            let (Leaf::Text(text), true, false) = (leaf, is_activation, is_output) else { continue };
            let Ok(activation) = Activation::parse(text) else { continue };
            if let Some((first, other)) = found.filter(|(_, other)| *other != activation) {
                bail!(
                    "`{first}` is {} and `{name}` is {}: which one is the actor's is not certain",
                    other.name(),
                    activation.name()
                );
            }
            found = Some((name, activation));
        }
        Ok(())
    }

    /// Refuses parameters of an activation in a config, which are not PyTorch's defaults for certain.
    fn check_parameters_of_config(&self) -> Result<()> {
        let slope = self.number(&["negative_slope"]).filter(|slope| *slope as f32 != Activation::LEAKY_SLOPE);
        ensure!(slope.is_none(), "`negative_slope` is {}: 0.01 is expected of a LeakyReLU", slope.unwrap_or_default());
        let renorm = self.object_of(".BatchRenorm1d").map(|name| format!("{name}.eps"));
        let epsilon = renorm.and_then(|name| self.contents.get(&name)?.numbers().ok()?);
        ensure!(
            epsilon.is_none_or(|epsilon| epsilon == [1e-3]),
            "the eps of a BatchRenorm is not 0.001, which is expected"
        );
        let kwargs = self.contents.iter().find(|(name, _)| {
            name.split('.').any(|part| ["activation_kwargs", "act_kwargs", "activation_params"].contains(&part))
        });
        ensure!(
            kwargs.is_none(),
            "`{}` sets a parameter of the activation: PyTorch's defaults are served",
            kwargs.map_or("", |(name, _)| name)
        );
        let epsilon = self.number(&["policy_kwargs.batch_norm_eps"]).filter(|epsilon| *epsilon != 1e-3);
        ensure!(epsilon.is_none(), "`policy_kwargs.batch_norm_eps` is not 0.001, which is expected of CrossQ");
        Ok(())
    }
}

/// Returns `true` for a name that trainers give to the activation.
fn is_named(name: &str) -> bool {
    const PARTS: [&str; 7] = ["activation", "act", "activ", "nonlinearity", "nonlin", "activation_fn", "act_fn"];
    let name = name.trim_start_matches('_');
    NAMES.contains(&name) || PARTS.contains(&name) || name.ends_with("_activation") || name.starts_with("activ_")
}

/// Returns the activation that follows each hidden layer in its series, if exactly one follows every layer.
fn each_by_modules(layers: &ActorLayers, modules: &[Module]) -> Option<Vec<Activation>> {
    let names = layers.trunk.iter().map(|hidden| hidden.linear.name.as_str()).collect::<Vec<_>>();
    let last = layers.head.last().name.as_str();
    let nexts = names.iter().skip(1).copied().chain([last]);
    let of = |(layer, next): (&&str, &str)| {
        let (of_series, range) = modules_after(layer, Some(next))?;
        let is_between = |module: &&Module| series(&module.name) == of_series && range.contains(&number(&module.name));
        let mut between = modules.iter().filter(is_between);
        let activation = between.next()?.activation;
        between.next().is_none().then_some(activation)
    };
    (!names.is_empty()).then(|| names.iter().zip(nexts).map(of).collect())?
}

/// Returns `true` if a module follows the last layer in its series.
fn is_after_head(module: &Module, layers: &ActorLayers) -> bool {
    modules_after(&layers.head.last().name, None)
        .is_some_and(|(of_series, range)| series(&module.name) == of_series && range.contains(&number(&module.name)))
}
