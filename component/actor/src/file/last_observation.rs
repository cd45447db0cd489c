//! The last observation of a training, which a model of Stable-Baselines3 holds as the network took it, with the same, or
//! the one before, as the environment gave it: the same if the model was trained in VecNormalize, and the one before if not.
//! A model does not say which, so only a value that no environment gives is evidence; but statistics can be checked.

use super::contents::{Contents, Leaf};
use super::dtype::Dtype;
use super::tensor::Tensor;
use crate::model::Normalisation;

/// The most bytes of an observation that is looked at. Larger ones are images.
pub const MAX_BYTES: usize = 1 << 20;

/// The last observation of a training. It has a row for each environment.
pub struct LastObservation {
    /// As the network took it, under [`NAME`].
    pub taken: Contents,
    /// As an environment gave it, under the same names.
    pub given: Contents,
}

impl LastObservation {
    /// Returns how the observation shows that it was normalised, or `None` if it does not. `spaces` has what is known of
    /// the observation space, under the names that `sb3::read_model` gives.
    pub fn is_normalised(&self, spaces: &Contents) -> Option<&'static str> {
        self.taken.tensors().find_map(|(name, taken)| {
            let Some(Leaf::Tensor(given)) = self.given.get(name) else { return None };
            let space = Space { key: name.strip_prefix(NAME)?.strip_prefix('.'), spaces };
            evidence(taken, given, &space)
        })
    }

    /// Returns the largest difference between what the network took and what a normalisation makes of what the environment
    /// gave, in standard deviations, or relative to numbers above 1, with the number of environments. `keys` are those of a
    /// Dict. Returns `None` if they cannot be compared.
    pub fn difference(&self, by: &Normalisation, keys: &[&str]) -> Option<(f64, usize)> {
        let (taken, given) = (rows(&self.taken, keys)?, rows(&self.given, keys)?);
        let is_comparable =
            taken.len() == given.len() && taken.iter().chain(&given).all(|row| row.len() == by.mean.len());
        let numbers = |rows: &[Vec<f64>]| rows.concat();
        let normalised = given.iter().map(|row| by.of(row)).collect::<Vec<_>>();
        let pairs = numbers(&taken).into_iter().zip(numbers(&normalised));
        let differences = pairs.map(|(taken, found)| (taken - found).abs() / taken.abs().max(1.0));
        is_comparable.then(|| (differences.fold(0.0, f64::max), taken.len()))
    }
}

/// Returns the states that an observation consists of. The parts of a Dict are concatenated in the order of `keys`.
fn rows(observation: &Contents, keys: &[&str]) -> Option<Vec<Vec<f64>>> {
    let names = match keys {
        [] => vec![NAME.to_owned()],
        keys => keys.iter().map(|key| format!("{NAME}.{key}")).collect(),
    };
    let mut rows = vec![];
    for name in names {
        let Some(Leaf::Tensor(tensor)) = observation.get(&name) else { return None };
        let (numbers, count) = (tensor.numbers().ok()?, *tensor.shape.first()?);
        if count == 0 || numbers.len() < count {
            return None;
        }
        rows.resize_with(count, Vec::new);
        let columns = numbers.len() / count;
        rows.iter_mut().zip(numbers.chunks(columns)).for_each(|(row, part)| row.extend(part));
    }
    Some(rows)
}

/// The name under which both observations stand: `observation`, or `observation.KEY` for a part of a Dict.
pub const NAME: &str = "observation";

fn evidence(taken: &Tensor, given: &Tensor, space: &Space) -> Option<&'static str> {
    if taken.unread_reason().or(given.unread_reason()).is_some() {
        return None;
    }
    // VecNormalize gives float32, whatever the environment gives.
    if taken.dtype == Dtype::F32 && given.dtype == Dtype::F64 && space.is_float64() {
        return Some("is float32 in a space of float64");
    }
    let (taken, given, rows) = (taken.numbers().ok()?, given.numbers().ok()?, *taken.shape.first()?);
    if taken.len() == given.len() && is_scaled(&taken, &given, rows) {
        return Some("is what the environments gave, shifted and scaled alike");
    }
    let (low, high) = (space.bound("low")?, space.bound("high")?);
    (is_within(&given, &low, &high)? && !is_within(&taken, &low, &high)?)
        .then_some("lies outside of the observation space")
}

/// Rounding to f32, in which observations are kept.
const ROUNDING: f64 = 1e-5;

/// Returns `true` if each number of the last observations is one linear function of the original ones, in three environments
/// or more. Those of the next step are not.
fn is_scaled(last: &[f64], original: &[f64], rows: usize) -> bool {
    let columns = last.len() / rows.max(1);
    // A single number may well decay by the same factor everywhere.
    if rows < 3 || columns < 2 || last.len() != rows * columns {
        return false;
    }
    let (mut changes, mut is_proven) = (false, false);
    for column in 0..columns {
        let row = |row| (original[row * columns + column], last[row * columns + column]);
        let (mut least, mut most) = (row(0), row(0));
        for point in (1..rows).map(row) {
            least = if point.0 < least.0 { point } else { least };
            most = if point.0 > most.0 { point } else { most };
        }
        let ((x0, y0), (x1, y1)) = (least, most);
        let slope = if x1 - x0 > ROUNDING { (y1 - y0) / (x1 - x0) } else { 0.0 };
        let is_on = |(x, y): (f64, f64)| (y - y0 - slope * (x - x0)).abs() <= ROUNDING * y.abs().max(1.0);
        if !(0..rows).map(row).all(is_on) || slope < 0.0 {
            return false;
        }
        let is_between = |(x, _): (f64, f64)| (x - x0).min(x1 - x) > 0.01 * (x1 - x0);
        is_proven |= slope > 0.0 && (0..rows).map(row).any(is_between);
        // A counter of steps grows by the same everywhere.
        changes |= slope > 0.0 && (slope - 1.0).abs() > 1e-3;
    }
    is_proven && changes
}

/// An observation space, or a part of a Dict.
struct Space<'a> {
    key: Option<&'a str>,
    spaces: &'a Contents,
}

/// Environments round, and a number at a bound may be beyond it by as much.
const MARGIN: f64 = 1e-4;

impl Space<'_> {
    fn is_float64(&self) -> bool {
        let name = match self.key {
            Some(key) => format!("observation_space.{key}.dtype"),
            None => "observation_space.dtype".to_owned(),
        };
        matches!(self.spaces.get(&name), Some(Leaf::Text(dtype)) if dtype.ends_with("float64"))
    }

    fn bound(&self, which: &str) -> Option<Vec<f64>> {
        let name = match self.key {
            Some(key) => format!("observation_space.{key}.{which}"),
            None => format!("observation_{which}"),
        };
        self.spaces.get(&name)?.numbers().ok().flatten().filter(|bound| !bound.is_empty())
    }
}

/// Returns `true` if every number lies within its bounds. The bounds are those of one environment; an observation has a row
/// for each.
fn is_within(observation: &[f64], low: &[f64], high: &[f64]) -> Option<bool> {
    (low.len() == high.len() && observation.len().is_multiple_of(low.len())).then_some(())?;
    let margin = |bound: f64| MARGIN * bound.abs().max(1.0);
    let is_inside =
        |(number, (low, high)): (&f64, (&f64, &f64))| *number >= low - margin(*low) && *number <= high + margin(*high);
    Some(observation.iter().zip(low.iter().zip(high).cycle()).all(is_inside))
}

#[cfg(test)]
mod tests {
    use super::is_scaled;

    #[test]
    fn observations_of_several_environments_show_that_they_were_scaled_alike() {
        let original = [1.0, 5.0, 2.0, 9.0, 4.0, 6.0];
        let scale = |f: fn(f64) -> f64, g: fn(f64) -> f64| {
            original.chunks(2).flat_map(|row| [f(row[0]), g(row[1])]).collect::<Vec<_>>()
        };
        let scaled = scale(|x| (x - 2.5) / 1.5, |x| (x - 6.0) / 0.3);
        assert!(is_scaled(&scaled, &original, 3));
        assert!(is_scaled(&scale(|x| x / 2.0, |_| 0.25), &original, 3), "a number that never changes has no scale");
        assert!(!is_scaled(&scaled, &original, 2), "two points are on a line");
        assert!(!is_scaled(&scale(|x| x + 1.0, |x| x), &original, 3), "a counter of steps");
        assert!(!is_scaled(&scale(|x| x / 2.0, |x| x * x), &original, 3), "another step");
        assert!(!is_scaled(&scale(|x| -x, |x| x), &original, 3), "no deviation is negative");
    }
}
