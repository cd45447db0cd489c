//! The activation that a file names, in a config or by the modules of the network.

use anyhow::{Context, Result, bail, ensure};

use super::{CONFIGS, PolicySettings};
use crate::file::Leaf;
use crate::layout::scope::is_foreign;
use crate::model::Activation;

/// Names that trainers give to the setting.
const NAMES: [&str; 6] =
    ["activation", "activation_fn", "activation_function", "act_fn", "hidden_activation", "nonlinearity"];

impl PolicySettings<'_> {
    /// Returns the activation of the network, or `None` if the file does not name it. The modules of the network
    /// outrank a config.
    pub fn activation(&self) -> Result<Option<Activation>> {
        if let Some(activation) = self.activation_of_modules()? {
            return Ok(Some(activation));
        }
        match self.find(&NAMES) {
            Some((name, Leaf::Text(text) | Leaf::Class(text))) => {
                Activation::parse(text).map(Some).with_context(|| format!("`{name}`"))
            }
            Some((name, _)) => bail!("`{name}` is not the name of an activation"),
            None => Ok(None),
        }
    }

    /// Returns the activation among the modules of a network that was saved whole. A module that would change the
    /// actions and is not served is an error.
    fn activation_of_modules(&self) -> Result<Option<Activation>> {
        let mut found = None::<Activation>;
        for (name, leaf) in self.contents.iter() {
            let Leaf::Class(class) = leaf else { continue };
            let inside = name.strip_prefix(self.scope).is_some_and(|name| !name.split('.').any(is_foreign));
            let Some(class) = class.strip_prefix("torch.nn.modules.").filter(|_| inside) else { continue };
            // A class in a config is no part of the network.
            if CONFIGS.contains(&name.split('.').next().unwrap_or_default()) || !self.is_module(name) {
                continue;
            }
            match class.split_once('.') {
                Some(("activation", class)) => {
                    self.check_parameters(name, class)?;
                    let activation = Activation::parse(class)?;
                    let first = *found.get_or_insert(activation);
                    ensure!(
                        first == activation,
                        "the network has the activations {} and {}: one is expected",
                        first.name(),
                        activation.name()
                    );
                }
                Some(("linear", _) | ("container", _) | ("dropout", _) | ("flatten", _)) | None => {}
                Some(_) => bail!("the network has the layer `{name}`, a {class}, which is not served"),
            }
        }
        Ok(found)
    }

    /// Returns `true` if the name is that of an object. An object has attributes; a mere class has none.
    fn is_module(&self, name: &str) -> bool {
        self.contents.has_below(&format!("{name}."))
    }

    /// Checks that the parameters of an activation are PyTorch's defaults, which are the only ones served.
    fn check_parameters(&self, name: &str, class: &str) -> Result<()> {
        for (parameter, default) in [("negative_slope", Activation::LEAKY_SLOPE), ("alpha", 1.0)] {
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
}
