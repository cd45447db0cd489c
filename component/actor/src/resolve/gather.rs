//! Gathers the facts of an actor from the file, the cards, the flags and the layout's conventions.

use anyhow::{Result, bail, ensure};

use super::bounds::BoundsOption;
use super::option::Options;
use super::{Given, Resolved};
use crate::card::{GivenBounds, Kind};
use crate::layout::{
    ActorHead, ActorLayers, Layout, Named, PolicySettings, STABLE_BASELINES3_SDE, TIANSHOU, Unexplained, refuse, split,
};
use crate::model::{Activation, Fact, LogStd, MeanStep, Mlp, Normalisation, Source, Sourced, Squash, Squashing};

/// The facts of an actor as far as they are known.
pub struct Gathered<'a> {
    pub actor: &'a ActorLayers,
    pub head: Options<HeadKind>,
    /// One activation for all hidden layers, or one for each.
    pub activation: Options<Vec<Activation>>,
    pub squash: Options<Squash>,
    pub mean_step: Options<Option<MeanStep>>,
    pub bounds: Options<BoundsOption>,
    pub normalisation: Options<Option<Normalisation>>,
    /// The rule for log_std, or the reason why actions cannot be sampled.
    pub log_std: Result<Sourced<LogStd>, &'static str>,
    /// Statistics in the file that only examples can explain.
    pub unexplained: Option<Unexplained>,
    /// Set if the file's own code decides, which is not in the file: examples must prove the policy.
    pub foreign_code: Option<String>,
}

/// The meaning of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// A mean and a log_std.
    Gaussian,
    /// A mean alone.
    Mean,
}

/// A complete choice of values.
pub struct Choice {
    pub head: Sourced<HeadKind>,
    pub activation: Sourced<Vec<Activation>>,
    pub squash: Sourced<Squash>,
    pub mean_step: Sourced<Option<MeanStep>>,
    pub bounds: Sourced<BoundsOption>,
    pub normalisation: Sourced<Option<Normalisation>>,
}

const FILE: &str = "its layers";

impl<'a> Gathered<'a> {
    pub fn new(actor: &'a ActorLayers, settings: &PolicySettings, given: &Given) -> Result<Self> {
        let kind = given.card.kind;
        let foreign_code = foreign_policy(settings);
        let head = head(actor, kind)?;
        let action_dims = dims(actor, &head);
        let unexplained = match settings.normalisation(actor.state_dim())? {
            Some(_) => None,
            None => settings.unexplained(actor.state_dim())?.filter(|_| given.card.obs_mean.is_none()),
        };
        Ok(Gathered {
            activation: activation(actor, settings, given, foreign_code.is_some())?,
            squash: squash(actor, settings, given, kind)?,
            mean_step: mean_step(actor, settings)?,
            bounds: bounds(actor.layout, settings, given, &action_dims)?,
            normalisation: normalisation(actor, settings, given, unexplained.as_ref())?,
            log_std: log_std(actor, settings, given)?,
            unexplained,
            foreign_code,
            head,
            actor,
        })
    }

    /// Returns the lengths that an action may have.
    pub fn action_dims(&self) -> Vec<usize> {
        dims(self.actor, &self.head)
    }

    /// Makes the policy of the known values, none of which may be missing.
    pub fn first(&self) -> Result<Resolved> {
        fn known<T: Clone>(options: &Options<T>) -> Result<Sourced<T>> {
            options.known().cloned().ok_or_else(|| anyhow::anyhow!("a fact is missing"))
        }
        if let Some(unexplained) = &self.unexplained {
            return Err(refuse(unexplained));
        }
        let choice = Choice {
            head: known(&self.head)?,
            activation: known(&self.activation)?,
            squash: known(&self.squash)?,
            mean_step: known(&self.mean_step)?,
            bounds: known(&self.bounds)?,
            normalisation: known(&self.normalisation)?,
        };
        self.build(&choice)
    }

    /// Makes the policy of a choice.
    pub fn build(&self, choice: &Choice) -> Result<Resolved> {
        let mlp = self.mlp(choice)?;
        mlp.check()?;
        let squash = choice.squash.value;
        let bounds = match &choice.bounds.value {
            BoundsOption::Scaled(bounds) if squash != Squash::None => Some(bounds.clone()),
            _ => None,
        };
        let log_std = self.log_std.as_ref().ok().filter(|_| mlp.log_std.is_some()).map(|rule| rule.value);
        let mlp = Mlp { log_std: mlp.log_std.filter(|_| log_std.is_some()), ..mlp };
        let facts = self.facts(choice, log_std);
        Ok(Resolved {
            mlp,
            normalisation: choice.normalisation.value.clone(),
            squashing: Squashing { squash, log_std, bounds },
            facts,
        })
    }

    /// Makes the network of a choice.
    pub fn mlp(&self, choice: &Choice) -> Result<Mlp> {
        let mut trunk = self.actor.trunk.clone();
        let activations = &choice.activation.value;
        ensure!(
            activations.len() == 1 || activations.len() == trunk.len(),
            "{} activations are given for {} hidden layers: one for all or one for each is expected",
            activations.len(),
            trunk.len()
        );
        for (hidden, activation) in trunk.iter_mut().zip(activations.iter().cycle()) {
            hidden.activation = Some(*activation);
        }
        let (mean, log_std) = match (&self.actor.head, choice.head.value) {
            (ActorHead::Pair(mean, log_std, _), _) => (mean.clone(), Some(log_std.clone())),
            (ActorHead::Mean(mean), _) | (ActorHead::Open(mean), HeadKind::Mean) => (mean.clone(), None),
            (ActorHead::Joint(joint) | ActorHead::Open(joint), _) => {
                let (mean, log_std) = split(joint.clone())?;
                (mean, Some(log_std))
            }
        };
        Ok(Mlp { trunk, mean, mean_step: choice.mean_step.value, log_std })
    }

    fn facts(&self, choice: &Choice, log_std: Option<LogStd>) -> Vec<Fact> {
        let squash = choice.squash.value;
        let kind = match (squash, choice.head.value) {
            (Squash::Tanh, HeadKind::Gaussian) => Kind::Sac,
            (_, HeadKind::Gaussian) => Kind::Gaussian,
            (Squash::None, HeadKind::Mean) if self.actor.std_parameter.is_some() => Kind::Gaussian,
            (_, HeadKind::Mean) => Kind::Deterministic,
        };
        let mut facts = vec![Fact::new("kind", kind.name(), &choice.head.source)];
        if !self.actor.trunk.is_empty() {
            let names = choice.activation.value.iter().map(|activation| activation.name()).collect::<Vec<_>>();
            facts.push(Fact::new("activation", names.join(", "), &choice.activation.source));
        }
        facts.push(Fact::new("squash", squash.name(), &choice.squash.source));
        match choice.mean_step.value {
            Some(MeanStep::Tanh) => facts.push(Fact::new("mean", "tanh before the squash", &choice.mean_step.source)),
            Some(MeanStep::Clamp(limit)) => {
                facts.push(Fact::new("mean", format!("clamped to ±{limit}"), &choice.mean_step.source));
            }
            None => {}
        }
        if squash != Squash::None {
            facts.push(Fact::new("action_bounds", choice.bounds.value.describe(), &choice.bounds.source));
        }
        match (&self.log_std, log_std) {
            (Ok(rule), Some(_)) => facts.push(Fact::new("log_std", rule.value.to_string(), &rule.source)),
            (Err(reason), _) => facts.push(Fact::new("log_std", *reason, &Source::File("its layers".into()))),
            _ => {}
        }
        let described = match &choice.normalisation.value {
            None => "none".to_owned(),
            Some(Normalisation { clip: None, .. }) => "(state - mean) / std".to_owned(),
            Some(Normalisation { clip: Some(clip), .. }) => format!("(state - mean) / std, clipped to ±{clip}"),
        };
        facts.push(Fact::new("normalisation", described, &choice.normalisation.source));
        facts
    }
}

/// Returns the class of a policy of Stable-Baselines3's that is not the library's own, whose code is not in the file.
fn foreign_policy(settings: &PolicySettings) -> Option<String> {
    const LIBRARIES: [&str; 2] = ["stable_baselines3.", "sb3_contrib."];
    let class = settings.text(&["policy_class"])?;
    (!LIBRARIES.iter().any(|library| class.starts_with(library))).then(|| class.to_owned())
}

fn dims(actor: &ActorLayers, head: &Options<HeadKind>) -> Vec<usize> {
    let outputs = actor.head.last().outputs;
    let of = |kind: &HeadKind| match (&actor.head, kind) {
        (ActorHead::Joint(_), _) | (ActorHead::Open(_), HeadKind::Gaussian) => outputs / 2,
        _ => outputs,
    };
    let mut dims = head.to_try(true).iter().map(|kind| of(&kind.value)).collect::<Vec<_>>();
    dims.dedup();
    dims
}

fn head(actor: &ActorLayers, kind: Option<Kind>) -> Result<Options<HeadKind>> {
    let library = actor.layout.name;
    let by_layers = |kind: HeadKind| Options::fixed(kind, Source::File(FILE.into()));
    Ok(match (&actor.head, kind) {
        (ActorHead::Mean(_), Some(Kind::Sac)) => {
            bail!("the card says that the policy is `sac`, and the file has no log_std: the layout is `{library}`")
        }
        (ActorHead::Pair(..), Some(Kind::Deterministic)) => Options::fixed(HeadKind::Mean, Source::Card),
        (ActorHead::Pair(..), _) => by_layers(HeadKind::Gaussian),
        (ActorHead::Mean(_), _) => by_layers(HeadKind::Mean),
        (ActorHead::Joint(_), _) => Options::convention(HeadKind::Gaussian, library, vec![]),
        (ActorHead::Open(_), Some(Kind::Sac)) => Options::fixed(HeadKind::Gaussian, Source::Card),
        (ActorHead::Open(_), Some(_)) => Options::fixed(HeadKind::Mean, Source::Card),
        // A standard deviation that is a parameter needs no output.
        (ActorHead::Open(_), None) if actor.std_parameter.is_some() => by_layers(HeadKind::Mean),
        (ActorHead::Open(layer), None) if layer.outputs.is_multiple_of(2) => {
            Options::missing(vec![HeadKind::Gaussian, HeadKind::Mean])
        }
        (ActorHead::Open(_), None) => by_layers(HeadKind::Mean),
    })
}

fn activation(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    foreign_code: bool,
) -> Result<Options<Vec<Activation>>> {
    let all = || Activation::ALL.map(|activation| vec![activation]).to_vec();
    let named = if foreign_code { None } else { settings.activation(actor)? };
    let found = named.map(|named| match named {
        Named::All(activation, name) => (vec![activation], name),
        Named::Each(each) => {
            let is_one = each.windows(2).all(|pair| pair[0] == pair[1]);
            (if is_one { each[..1].to_vec() } else { each }, "its modules".to_owned())
        }
    });
    let card = given.card.activation()?;
    if let Some((found, name)) = found {
        let is_same = |card: &Vec<Activation>| same_activations(card, &found, actor.trunk.len());
        if let Some(card) = card.as_ref().filter(|card| !is_same(card)) {
            let names = |list: &[Activation]| list.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
            bail!(
                "the activation is {} by {name} of the file and {} by the card: they must agree",
                names(&found),
                names(card)
            );
        }
        return Ok(Options::fixed(found, Source::File(name.into())));
    }
    if let Some(card) = card {
        return Ok(Options::fixed(card, Source::Card));
    }
    if let Some(activation) = given.operator.activation {
        return Ok(Options::fixed(vec![activation], Source::Flag("--activation")));
    }
    Ok(match actor.layout.activation {
        _ if actor.trunk.is_empty() => Options::fixed(vec![Activation::Relu], Source::File(FILE.into())),
        Some(activation) => Options::convention(vec![activation], actor.layout.name, all()),
        None => Options::missing(all()),
    })
}

fn same_activations(a: &[Activation], b: &[Activation], layers: usize) -> bool {
    let count = layers.max(1);
    a.iter().cycle().take(count).eq(b.iter().cycle().take(count))
}

fn squash(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    kind: Option<Kind>,
) -> Result<Options<Squash>> {
    let card = given.card.squash();
    let others = || Squash::USUAL.to_vec();
    let module = match actor.head {
        ActorHead::Mean(_) | ActorHead::Open(_) => settings.squash_module(actor)?,
        ActorHead::Pair(..) | ActorHead::Joint(_) => None,
    };
    if let Some((squash, name)) = module {
        ensure!(
            card.is_none_or(|card| card == squash),
            "the squash is {} by {name} of the file and {} by the card: they must agree",
            squash.name(),
            card.map_or("", Squash::name)
        );
        return Ok(Options::fixed(squash, Source::File(name.into())));
    }
    Ok(match (card, kind) {
        (Some(card), _) => Options::fixed(card, Source::Card),
        (None, Some(Kind::Sac)) => Options::fixed(Squash::Tanh, Source::Card),
        (None, Some(Kind::Gaussian)) => Options::fixed(Squash::None, Source::Card),
        // The Gaussians of skrl are what their users write: `tanh` or not.
        (None, _) if settings.is_of_skrl() => Options::missing(others()),
        (None, _) if matches!(actor.head, ActorHead::Pair(_, _, true)) => Options::missing(others()),
        (None, _) => match (actor.layout.squash, &actor.head) {
            (Some(squash), _) => Options::convention(squash, actor.layout.name, others()),
            (None, ActorHead::Pair(..)) if actor.layout.name == TIANSHOU => tianshou_squash(settings, others()),
            (None, _) => Options::missing(others()),
        },
    })
}

/// The actor of tianshou is made for SAC's squash if it is `unbounded`, which its state_dict does not contain.
fn tianshou_squash(settings: &PolicySettings, others: Vec<Squash>) -> Options<Squash> {
    match settings.number(&["_unbounded"]) {
        Some(_) => Options::fixed(Squash::Tanh, Source::File("`_unbounded`".into())),
        None => Options::missing(others),
    }
}

fn mean_step(actor: &ActorLayers, settings: &PolicySettings) -> Result<Options<Option<MeanStep>>> {
    match actor.layout.name {
        // With a `clip_mean` of 0 the head is a plain layer.
        STABLE_BASELINES3_SDE if actor.head.last().name == "mu" => Ok(Options::fixed(None, Source::File(FILE.into()))),
        STABLE_BASELINES3_SDE => {
            const DEFAULT: f64 = 2.0;
            let names = ["clip_mean", "policy_kwargs.clip_mean", "mu.1.max_val"];
            Ok(match settings.number(&names) {
                Some(limit) => Options::fixed(Some(MeanStep::Clamp(limit as f32)), Source::File("`clip_mean`".into())),
                None => Options::convention(
                    Some(MeanStep::Clamp(DEFAULT as f32)),
                    "SACPolicy's default of clip_mean",
                    vec![None],
                ),
            })
        }
        TIANSHOU => Ok(match settings.number(&["_unbounded"]) {
            Some(0.0) => {
                let limit = settings.number(&["max_action"]).unwrap_or(1.0);
                ensure!(limit == 1.0, "`max_action` of a bounded actor is {limit}: 1 is expected");
                Options::fixed(Some(MeanStep::Tanh), Source::File("`_unbounded`".into()))
            }
            Some(_) => Options::fixed(None, Source::File("`_unbounded`".into())),
            // The squash is missing as well, so that only a card decides.
            None => Options::convention(None, "an unbounded actor", vec![Some(MeanStep::Tanh)]),
        }),
        _ => Ok(Options::fixed(None, Source::File(FILE.into()))),
    }
}

fn bounds(
    layout: &Layout,
    settings: &PolicySettings,
    given: &Given,
    action_dims: &[usize],
) -> Result<Options<BoundsOption>> {
    let action_dim = action_dims.first().copied().unwrap_or(1);
    let with_limit = layout.name != TIANSHOU;
    let file = if action_dims.len() > 1 { None } else { settings.action_bounds(action_dim, with_limit)? };
    let scales = settings.number(&["action_scaling"]) != Some(0.0);
    let card = given.card.bounds();
    let of = |bounds: &GivenBounds| {
        // The length of an action decides the kind of an open head; until then one number stands for all.
        let fits = |dim: &&usize| BoundsOption::given(bounds, **dim).is_ok();
        BoundsOption::given(bounds, *action_dims.iter().find(fits).unwrap_or(&action_dim))
    };
    if let Some((bounds, name)) = file.filter(|_| scales) {
        let found = BoundsOption::Scaled(bounds.clone());
        if let Some(card) = &card {
            let card = of(card)?;
            ensure!(
                is_same(&found, &card, action_dim),
                "the action bounds are {} by {name} of the file and {} by the card: they must agree",
                found.describe(),
                card.describe()
            );
        }
        return Ok(Options::fixed(found, Source::File(name.into())));
    }
    if !scales {
        return Ok(Options::fixed(BoundsOption::Unscaled, Source::File("`action_scaling`".into())));
    }
    if let Some(card) = &card {
        return Ok(Options::fixed(of(card)?, Source::Card));
    }
    if let Some(bounds) = &given.operator.action_bounds {
        let bounds = of(&GivenBounds::Between(bounds.low.clone(), bounds.high.clone()))?;
        return Ok(Options::fixed(bounds, Source::Flag("--action-bounds")));
    }
    let others = vec![BoundsOption::Unscaled, BoundsOption::Fitted];
    Ok(if layout.is_unit {
        Options::convention(BoundsOption::Unscaled, layout.name, others)
    } else {
        Options::missing(others)
    })
}

/// Returns `true` if two bounds are the same, as far as f32 tells.
fn is_same(a: &BoundsOption, b: &BoundsOption, action_dim: usize) -> bool {
    let numbers = |option: &BoundsOption| match option {
        BoundsOption::Scaled(bounds) => [bounds.bounds().low.clone(), bounds.bounds().high.clone()].concat(),
        _ => [vec![-1.0; action_dim], vec![1.0; action_dim]].concat(),
    };
    let (a, b) = (numbers(a), numbers(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
}

fn normalisation(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
    unexplained: Option<&Unexplained>,
) -> Result<Options<Option<Normalisation>>> {
    let state_dim = actor.state_dim();
    let file = settings.normalisation(state_dim)?;
    let card = match (&given.card.obs_mean, &given.card.obs_std) {
        (Some(mean), Some(std)) => {
            ensure!(
                mean.len() == state_dim && std.len() == state_dim,
                "`obs_mean` and `obs_std` of the card have {} and {} numbers: {state_dim} are expected",
                mean.len(),
                std.len()
            );
            Some(Normalisation::new(mean, std, given.card.clip_obs)?)
        }
        _ => None,
    };
    if let Some((found, name)) = file {
        return fixed_normalisation(found, name, card);
    }
    Ok(match (card, unexplained) {
        (Some(card), _) => Options::fixed(Some(card), Source::Card),
        (None, Some(unexplained)) => Options::missing(unexplained.candidates.iter().cloned().map(Some).collect()),
        (None, None) => Options::fixed(None, Source::File("no statistics".into())),
    })
}

fn fixed_normalisation(
    found: Normalisation,
    name: String,
    card: Option<Normalisation>,
) -> Result<Options<Option<Normalisation>>> {
    let is_near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
    let agrees = |card: &Normalisation| is_near(&card.mean, &found.mean) && is_near(&card.std, &found.std);
    ensure!(
        card.as_ref().is_none_or(agrees),
        "the normalisation of observations by {name} of the file is another than the card's: they must agree"
    );
    Ok(Options::fixed(Some(found), Source::File(name.into())))
}

fn log_std(
    actor: &ActorLayers,
    settings: &PolicySettings,
    given: &Given,
) -> Result<Result<Sourced<LogStd>, &'static str>> {
    let layout = actor.layout;
    Ok(match &actor.head {
        _ if layout.name == STABLE_BASELINES3_SDE => Err("actions explored by gSDE are not sampled"),
        ActorHead::Mean(_) => Err("none: the policy is deterministic only"),
        ActorHead::Open(_) if actor.std_parameter.is_some() => Err("a parameter, which is not sampled"),
        _ => {
            if let Some(rule) = given.card.log_std(layout.log_std)? {
                return Ok(Ok(Sourced::new(rule, Source::Card)));
            }
            let rule = layout.log_std.map(|rule| anyhow::Ok((rule, settings.log_std(rule)?))).transpose()?;
            match rule {
                Some((usual, rule)) if usual != rule => Ok(Sourced::new(rule, Source::File("`log_std_min`".into()))),
                Some((usual, _)) => Ok(Sourced::new(usual, Source::Convention(layout.name))),
                None => Err("its rule is not known, so that actions are not sampled: give log_std_min and log_std_max"),
            }
        }
    })
}
