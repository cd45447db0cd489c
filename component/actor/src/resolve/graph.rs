//! Resolves the facts of a graph, which contains its own activations.

use anyhow::{Result, bail};

use super::Given;
use super::bounds::{BoundsOption, fitted};
use super::gather::normalisation::{NO_STATISTICS, check_agrees};
use super::missing::{BOUNDS_FLAG, bounds_of_card};
use crate::card::{GivenNormalisation, Kind};
use crate::layout::PolicySettings;
use crate::model::{Fact, LogStd, Normalisation, Outputs, Source, Squash, Squashing};

/// The facts of a graph.
pub struct ResolvedGraph {
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
    pub facts: Vec<Fact>,
}

/// Computes the mean of a state in double precision; `None` if the graph does not consist of linear layers.
pub type MeanOf<'f> = &'f dyn Fn(&[f64]) -> Option<Vec<f64>>;

/// Resolves the facts of a graph with these outputs, from its metadata, a card, the flags, or the examples.
///
/// # Errors
///
/// Fails if a graph of mean and log_std has no action bounds, or if a card contradicts the metadata.
pub fn resolve_graph(
    settings: &PolicySettings,
    given: &Given,
    outputs: Outputs,
    [state_dim, action_dim]: [usize; 2],
    mean_of: MeanOf,
) -> Result<ResolvedGraph> {
    settings.check_scaling()?;
    let graph = || Source::File("the graph".into());
    let (normalisation, source) = normalisation(settings, given, state_dim)?;
    let mean_of = |state: &[f64]| match &normalisation {
        Some(normalisation) if state.len() == state_dim => mean_of(&normalisation.of(state)),
        None if state.len() == state_dim => mean_of(state),
        _ => None,
    };
    let described = if normalisation.is_some() { "(state - mean) / std" } else { "the graph's own" };
    let mut facts = vec![Fact::new("normalisation", described, &source)];
    let squashing = match outputs {
        // Examples prove it, where the card has any; bounds in the card are those of the environment.
        Outputs::Action => {
            facts.insert(0, Fact::new("kind", Kind::Deterministic.name(), &graph()));
            action(settings, given, action_dim, &mean_of, &mut facts)?
        }
        Outputs::MeanAndLogStd => squashing(settings, given, action_dim, &mean_of, &mut facts)?,
    };
    Ok(ResolvedGraph { normalisation, squashing, facts })
}

/// Resolves what is done to an output that is the action. It is taken as it is, unless the card says otherwise, or bounds that
/// the file or the card gives leave open if the graph has scaled its output to them.
fn action(
    settings: &PolicySettings,
    given: &Given,
    action_dim: usize,
    output_of: MeanOf,
    facts: &mut Vec<Fact>,
) -> Result<Squashing> {
    let by_others = given.bounds().map(|(bounds, _)| BoundsOption::given(&bounds, action_dim)).transpose()?;
    let by_file = settings.action_bounds(action_dim, true)?.map(|(bounds, _)| BoundsOption::Scaled(bounds));
    // Metadata that names the squash is that of a graph which contains everything.
    let is_complete = settings.text(&["squash"]).is_some();
    let scaled = match by_others.or(by_file) {
        Some(BoundsOption::Scaled(bounds)) if !is_complete => Some(bounds),
        _ => None,
    };
    let fits = |squash: Squash| {
        let scaled = scaled.as_ref();
        let act = |state: &[f64]| {
            let squashed = output_of(state)?.into_iter().map(|x| squash.of(x)).collect::<Vec<_>>();
            Some(
                scaled
                    .filter(|_| squash != Squash::None)
                    .map_or(squashed.clone(), |bounds| bounds.scaled_of(&squashed)),
            )
        };
        let examples = &given.card.examples;
        examples.iter().all(|example| act(&example.state).is_some_and(|action| example.fits(action.into_iter())))
    };
    let (squash, source) = match (given.card.squash(), &scaled) {
        (Some(squash), _) => (squash, Source::Card),
        (None, Some(_)) if given.card.examples.is_empty() => bail!(
            "the action bounds are given, and the graph gives the action: write \"squash\": \"none\" into FILE.policy.json \
             if its output is within them, or \"squash\": \"clip\" if its output is within -1 and 1 and is scaled outside"
        ),
        (None, Some(_)) if !fits(Squash::None) && fits(Squash::Clamp) => (Squash::Clamp, Source::Examples),
        (None, _) => (Squash::None, Source::File("the graph".into())),
    };
    facts.push(Fact::new("squash", if squash == Squash::None { "the graph's own" } else { squash.name() }, &source));
    Ok(Squashing { squash, log_std: None, bounds: scaled.filter(|_| squash != Squash::None) })
}

fn squashing(
    settings: &PolicySettings,
    given: &Given,
    action_dim: usize,
    mean_of: MeanOf,
    facts: &mut Vec<Fact>,
) -> Result<Squashing> {
    let metadata = |name: &str| Source::File(format!("metadata `{name}`").into());
    let convention = Source::Convention("mean and log_std");
    let (squash, source) = match (settings.text(&["squash"]), given.card.squash(), given.card.kind) {
        (Some("none"), ..) => (Squash::None, metadata("squash")),
        (Some("clip"), ..) => (Squash::Clamp, metadata("squash")),
        (Some("tanh"), ..) => (Squash::Tanh, metadata("squash")),
        (_, Some(squash), _) => (squash, Source::Card),
        (_, None, Some(Kind::Gaussian)) => (Squash::None, Source::Card),
        _ => (Squash::Tanh, convention.clone()),
    };
    let kind = if squash == Squash::Tanh { Kind::Sac } else { Kind::Gaussian };
    facts.insert(0, Fact::new("kind", kind.name(), &Source::File("its outputs".into())));
    facts.push(Fact::new("squash", squash.name(), &source));
    let bounds = if squash == Squash::None {
        BoundsOption::Unscaled
    } else {
        bounds(settings, given, action_dim, &|| fit(given, squash, action_dim, mean_of), facts)?
    };
    let (rule, source) = match given.card.log_std(Some(LogStd::DEFAULT))? {
        Some(rule) => (rule, Source::Card),
        None => (settings.log_std(LogStd::DEFAULT)?, convention),
    };
    facts.push(Fact::new("log_std", rule.to_string(), &source));
    let bounds = if let BoundsOption::Scaled(bounds) = bounds { Some(bounds) } else { None };
    Ok(Squashing { squash, log_std: Some(rule), bounds })
}

fn bounds(
    settings: &PolicySettings,
    given: &Given,
    action_dim: usize,
    fit: &dyn Fn() -> Option<BoundsOption>,
    facts: &mut Vec<Fact>,
) -> Result<BoundsOption> {
    let file = settings.action_bounds(action_dim, true)?;
    let (bounds, source) = match (file, given.bounds()) {
        (Some((bounds, name)), _) => (BoundsOption::Scaled(bounds), Source::File(name.into())),
        (None, Some((bounds, source))) => (BoundsOption::given(&bounds, action_dim)?, source),
        (None, None) if fit().is_some() => (fit().unwrap_or(BoundsOption::Unscaled), Source::Examples),
        (None, None) => bail!(
            "the action bounds are missing: the graph gives mean and log_std, and its metadata has no `action_low` and \
             `action_high`. Write {{{}}} with its own values into FILE.policy.json beside it, or start with {}. The action is \
             then tanh of the mean, unless \"squash\" or \"examples\" in the card say otherwise",
            bounds_of_card(action_dim),
            BOUNDS_FLAG
        ),
    };
    facts.push(Fact::new("action_bounds", bounds.describe(), &source));
    Ok(bounds)
}

/// Returns the bounds that the examples of the card fit: -1 and 1, or else those that they determine.
fn fit(given: &Given, squash: Squash, action_dim: usize, mean_of: MeanOf) -> Option<BoundsOption> {
    let examples = &given.card.examples;
    let first = examples.first()?;
    (first.action.len() == action_dim).then_some(())?;
    let squashed = |state: &[f64]| Some(mean_of(state)?.into_iter().map(|x| squash.of(x)).collect::<Vec<_>>());
    let squashed = examples.iter().map(|example| squashed(&example.state)).collect::<Option<Vec<_>>>()?;
    let is_unit = squashed.iter().zip(examples).all(|(values, example)| example.fits(values.iter().copied()));
    if is_unit { Some(BoundsOption::Unscaled) } else { fitted(&squashed, examples).map(BoundsOption::Scaled) }
}

fn normalisation(
    settings: &PolicySettings,
    given: &Given,
    state_dim: usize,
) -> Result<(Option<Normalisation>, Source)> {
    let card = given.card.normalisation(state_dim)?;
    if let Some((found, name)) = settings.normalisation(state_dim)? {
        check_agrees(&found, &name, card.as_ref())?;
        return Ok((Some(found), Source::File(name.into())));
    }
    Ok(match card {
        Some(GivenNormalisation::By(card)) => (Some(card), Source::Card),
        Some(GivenNormalisation::None) => (None, Source::Card),
        Some(GivenNormalisation::Vecnormalize) => bail!(NO_STATISTICS),
        None => (None, Source::File("the graph".into())),
    })
}
