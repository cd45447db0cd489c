//! Fits the facts that are missing to the examples of a card. A value is taken if no other fits as well.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::Resolved;
use super::bounds::{BoundsOption, MIN_EXAMPLES, fitted};
use super::choice::Choice;
use super::gather::Gathered;
use super::missing::missing_of;
use crate::card::{Example, is_near};
use crate::model::{Source, Sourced, Squash};

/// The most combinations of values that are tried.
const MAX_CHOICES: usize = 4096;
/// The most multiplications that trying them may take: a second or so.
const MAX_WORK: usize = 1 << 30;

/// Returns the policy that fits all examples.
///
/// # Errors
///
/// Fails if none of the possible values fits, or if values fit that differ on other states.
pub fn fit(gathered: &Gathered, examples: &[Example]) -> Result<Resolved> {
    let state_dim = gathered.actor.state_dim();
    let (states, actions) = (examples[0].state.len(), examples[0].action.len());
    ensure!(
        states == state_dim,
        "the examples of the card have states of {states} numbers: the network takes {state_dim}"
    );
    let dims = gathered.action_dims();
    ensure!(
        dims.contains(&actions),
        "the examples of the card have actions of {actions} numbers: the network gives {}",
        dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
    );
    if let Some(class) = &gathered.foreign_code {
        ensure!(
            distinct(examples) >= MIN_PROOF,
            "the code of `{class}` is not in the file, and the card has fewer than {MIN_PROOF} examples with different \
             actions, which are too few to prove it"
        );
    }
    // Conventions are kept as long as the examples agree with them.
    for free in [false, true] {
        let mut fits = Search::new(gathered, examples, free).run()?;
        if fits.is_empty() {
            continue;
        }
        let best = fits.swap_remove(0);
        if let Some(other) = fits.iter().find(|other| differ(gathered, &best, other, examples)) {
            bail!(
                "the examples of the card fit more than one policy, such as {} and {}: add examples with larger states, \
                 or the fact itself",
                describe(&best),
                describe(other)
            );
        }
        return gathered.build(&best);
    }
    bail!("{}", no_fit(gathered, examples))
}

/// The fewest examples with different actions that prove code which is not in the file.
const MIN_PROOF: usize = 3;

/// Counts the examples whose actions differ from those before them.
fn distinct(examples: &[Example]) -> usize {
    let differs = |a: &Example, b: &Example| a.action.iter().zip(&b.action).any(|(a, b)| !is_near(*a, *b));
    let is_new =
        |(index, example): &(usize, &Example)| examples[..*index].iter().all(|before| differs(before, example));
    examples.iter().enumerate().filter(is_new).count()
}

struct Search<'a> {
    gathered: &'a Gathered<'a>,
    examples: &'a [Example],
    free: bool,
    /// The multiplications left.
    work: usize,
}

impl<'a> Search<'a> {
    fn new(gathered: &'a Gathered<'a>, examples: &'a [Example], free: bool) -> Self {
        Search { gathered, examples, free, work: MAX_WORK }
    }

    /// Returns the choices that fit, the most usual first.
    fn run(&mut self) -> Result<Vec<Choice>> {
        let gathered = self.gathered;
        let mut fits = vec![];
        let mut tried = 0;
        for activation in gathered.activation.to_try(self.free) {
            for head in gathered.head.to_try(self.free) {
                for mean_step in gathered.mean_step.to_try(self.free) {
                    for normalisation in gathered.normalisation.to_try(self.free) {
                        tried += 1;
                        ensure!(tried <= MAX_CHOICES, "the examples leave too many possible values open: add facts");
                        let choice = Choice {
                            head: head.clone(),
                            activation: activation.clone(),
                            squash: Sourced::new(Squash::None, Source::Examples),
                            mean_step: mean_step.clone(),
                            bounds: Sourced::new(BoundsOption::Unscaled, Source::Examples),
                            normalisation,
                        };
                        self.squashes(choice, &mut fits)?;
                    }
                }
            }
        }
        Ok(fits)
    }

    /// Adds the squashes and bounds with which a choice fits.
    fn squashes(&mut self, choice: Choice, fits: &mut Vec<Choice>) -> Result<()> {
        let Some(means) = self.means(&choice)? else { return Ok(()) };
        for squash in self.gathered.squash.to_try(self.free) {
            let squashed = means.iter().map(|mean| mean.iter().map(|x| squash.value.of(*x)).collect::<Vec<_>>());
            let squashed = squashed.collect::<Vec<_>>();
            for bounds in self.gathered.bounds.to_try(self.free) {
                let is_fitted = bounds.value == BoundsOption::Fitted;
                if squash.value == Squash::None
                    && (is_fitted || fits.iter().any(|fit| same_but_bounds(fit, &choice, squash.value)))
                {
                    continue;
                }
                let Some(value) = self.fitting(&squashed, squash.value, bounds.value) else { continue };
                // Bounds of -1 and 1 are tried by themselves.
                fits.push(Choice {
                    head: choice.head.clone(),
                    activation: choice.activation.clone(),
                    squash: squash.clone(),
                    mean_step: choice.mean_step.clone(),
                    bounds: Sourced::new(value, bounds.source),
                    normalisation: choice.normalisation.clone(),
                });
                break;
            }
        }
        Ok(())
    }

    /// Returns the mean of each example's state, or `None` if the choice gives actions of another length.
    fn means(&mut self, choice: &Choice) -> Result<Option<Vec<Vec<f64>>>> {
        let mlp = self.gathered.mlp(choice)?;
        mlp.check()?;
        if mlp.action_dim() != self.examples[0].action.len() {
            return Ok(None);
        }
        let cost = mlp.linears().map(|linear| linear.weight.len()).sum::<usize>() * self.examples.len();
        self.work = self.work.saturating_sub(cost);
        ensure!(
            self.work > 0,
            "the network is too large to fit what is missing to examples: add the facts to the card"
        );
        let normalise = |state: &[f64]| match &choice.normalisation.value {
            Some(normalisation) => normalisation.of(state),
            None => state.to_vec(),
        };
        Ok(Some(self.examples.iter().map(|example| mlp.mean_of(&normalise(&example.state))).collect()))
    }

    /// Returns the bounds with which all examples fit.
    fn fitting(&self, squashed: &[Vec<f64>], squash: Squash, bounds: BoundsOption) -> Option<BoundsOption> {
        let bounds = match bounds {
            BoundsOption::Fitted => BoundsOption::Scaled(fitted(squashed, self.examples)?),
            other => other,
        };
        let scaled = |values: &Vec<f64>| match &bounds {
            BoundsOption::Scaled(bounds) if squash != Squash::None => bounds.scaled_of(values),
            _ => values.clone(),
        };
        let fits = squashed.iter().zip(self.examples).all(|(values, example)| example.fits(scaled(values).into_iter()));
        fits.then_some(bounds)
    }
}

fn same_but_bounds(fit: &Choice, choice: &Choice, squash: Squash) -> bool {
    fit.squash.value == squash
        && fit.head.value == choice.head.value
        && fit.activation.value == choice.activation.value
        && fit.mean_step.value == choice.mean_step.value
        && fit.normalisation.value == choice.normalisation.value
}

/// Returns `true` if two choices give different actions for the examples' states, mirrored and doubled.
fn differ(gathered: &Gathered, a: &Choice, b: &Choice, examples: &[Example]) -> bool {
    let act = |choice: &Choice, state: &[f64]| -> Option<Vec<f64>> {
        let state = match &choice.normalisation.value {
            Some(normalisation) => normalisation.of(state),
            None => state.to_vec(),
        };
        let mean = gathered.mlp(choice).ok()?.mean_of(&state);
        let squashed = mean.into_iter().map(|x| choice.squash.value.of(x)).collect::<Vec<_>>();
        Some(match &choice.bounds.value {
            BoundsOption::Scaled(bounds) if choice.squash.value != Squash::None => bounds.scaled_of(&squashed),
            _ => squashed,
        })
    };
    // Few states tell: a search among large networks stays within its work.
    let states = examples.iter().take(8).flat_map(|example| {
        [1.0, -1.0, 2.0].map(|factor| example.state.iter().map(|x| x * factor).collect::<Vec<_>>())
    });
    states.into_iter().any(|state| match (act(a, &state), act(b, &state)) {
        (Some(a), Some(b)) => !a.iter().zip(&b).all(|(a, b)| is_near(*a, *b)),
        _ => true,
    })
}

/// Describes what the examples decided.
fn describe(choice: &Choice) -> String {
    let mut parts = vec![];
    let by_examples = |source: &Source| *source == Source::Examples;
    if by_examples(&choice.activation.source) {
        parts.push(choice.activation.value.iter().map(|activation| activation.name()).collect::<Vec<_>>().join("-"));
    }
    if by_examples(&choice.squash.source) {
        parts.push(format!("squash {}", choice.squash.value.name()));
    }
    if by_examples(&choice.bounds.source) {
        parts.push(format!("bounds {}", choice.bounds.value.describe()));
    }
    if by_examples(&choice.normalisation.source) {
        parts.push("another normalisation".to_owned());
    }
    if parts.is_empty() { "another".to_owned() } else { parts.join(" with ") }
}

/// Returns the error for examples that nothing fits.
fn no_fit(gathered: &Gathered, examples: &[Example]) -> String {
    let missing = missing_of(gathered).iter().map(|missing| missing.name).collect::<BTreeSet<_>>();
    let count = examples.len();
    match gathered.first() {
        Ok(resolved) => {
            let state = &examples[0].state;
            let state = resolved.normalisation.as_ref().map_or(state.clone(), |normalisation| normalisation.of(state));
            let values = resolved.mlp.mean_of(&state).into_iter().map(|x| resolved.squashing.squash.of(x));
            let values = values.collect::<Vec<_>>();
            let found = match &resolved.squashing.bounds {
                Some(bounds) => bounds.scaled_of(&values),
                None => values,
            };
            format!(
                "the file does not compute the {count} examples of its card: for the first one's state it gives \
                 {found:.5?}, and {:.5?} is expected. The policy does something that the file does not contain, or the \
                 card is another checkpoint's",
                examples[0].action
            )
        }
        Err(_) if count < MIN_EXAMPLES && gathered.bounds.is_missing() => format!(
            "the action bounds are missing, and the card has {count} of the {MIN_EXAMPLES} examples that determine them"
        ),
        Err(_) => format!(
            "none of the possible values of {} fits the {count} examples of the card: the policy does something that the \
             file does not contain, or the card is another checkpoint's",
            if missing.is_empty() {
                "what the file lacks".to_owned()
            } else {
                missing.into_iter().collect::<Vec<_>>().join(" and ")
            }
        ),
    }
}
