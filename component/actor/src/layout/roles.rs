//! Assigns roles to the layers of a scope by their names: which are the trunk, and which the heads.

use super::scope::{Scope, number, series};
use super::table::{Heads, Layout};

/// The names of an actor's layers by their roles.
pub struct Roles {
    pub trunk: Vec<String>,
    /// The mean's head and log_std's. None if the last layer of the trunk is both.
    pub heads: Option<(String, String)>,
}

impl Roles {
    /// Returns the roles that a layout gives to the layers of a scope, or `None` if it does not fit.
    ///
    /// A layout fits if its heads are there and every other tensor of the scope has a role or is a setting. A layer that
    /// is left out would change the actions.
    pub fn assign(layout: &Layout, scope: &Scope) -> Option<Roles> {
        let layers = scope.layers();
        let heads = match &layout.heads {
            // Any series of layers could be an actor with a joint head. It must lie where actors do, and be all there is.
            Heads::Joint if !scope.is_usual() || !scope.is_all() => return None,
            Heads::Joint => None,
            Heads::Separate { mean, log_std } => {
                let mean = mean.iter().find(|name| scope.has(&format!("{name}.weight")))?;
                let log_std = log_std.iter().find(|name| scope.has(name) || scope.has(&format!("{name}.weight")))?;
                Some(((*mean).to_owned(), (*log_std).to_owned()))
            }
        };
        if layers.len() > MAX_LAYERS {
            return None;
        }
        let is_head = |name: &String| heads.as_ref().is_some_and(|(mean, log_std)| name == mean || name == log_std);
        let mut trunk = layers.into_iter().filter(|name| !is_head(name)).collect::<Vec<_>>();
        trunk.sort_by_key(|name| number(name));
        let is_one_series = trunk.windows(2).all(|pair| series(&pair[0]) == series(&pair[1]));
        let fits = trunk.iter().map(|name| series(name)).all(|series| match layout.trunk {
            "*" => {
                let is_deterministic = heads.is_none() && DETERMINISTIC.contains(&series.as_str());
                !is_deterministic && !UNFIT.iter().any(|part| series.contains(part))
            }
            trunk => series == trunk,
        });
        let roles = Roles { trunk, heads };
        let has_head = roles.heads.is_some() || !roles.trunk.is_empty();
        (has_head && is_one_series && fits && scope.unexplained(&roles.names()).is_empty()).then_some(roles)
    }

    /// Returns the names of all layers.
    pub fn names(&self) -> Vec<&str> {
        let heads = self.heads.iter().flat_map(|(mean, log_std)| [mean.as_str(), log_std.as_str()]);
        self.trunk.iter().map(String::as_str).chain(heads).collect()
    }
}

/// The most layers that an actor may have.
const MAX_LAYERS: usize = 1024;
/// Layers that have no activation after them, or another one.
const UNFIT: &[&str] = &["features_extractor"];
/// The names of a deterministic actor's layers in TD3's own code and in Stable-Baselines3. The last of them gives the
/// action, so it is no joint head.
const DETERMINISTIC: &[&str] = &["mu.{n}", "l{n}", "actor.mu.{n}", "actor.l{n}"];
