//! Batch normalisation in the series of an actor's layers. With the statistics of training it is an affine map of each
//! number, which becomes a part of the linear layer after or before it.

use anyhow::{Result, ensure};

use super::scope::{Scope, number, series};
use crate::model::Linear;

/// The map y = x · scale + shift of each number.
pub struct BatchNorm {
    name: String,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// The names of the statistics and parameters, and the number added to the variance: PyTorch's `BatchNorm1d`, and
/// `BatchRenorm` of sb3-contrib's CrossQ.
const KINDS: [([&str; 4], f64); 2] =
    [(["running_mean", "running_var", "weight", "bias"], 1e-5), (["ra_mean", "ra_var", "scale", "bias"], 1e-3)];

/// Counters, which change nothing.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "steps"];

impl BatchNorm {
    /// Reads the batch normalisation at a name, if there is one.
    pub fn read(scope: &Scope, name: &str) -> Result<Option<BatchNorm>> {
        for (parts, epsilon) in KINDS {
            let values = |part: &str| scope.vector(&format!("{name}.{part}"));
            let [Some(mean), Some(var), weight, bias] = parts.map(values) else { continue };
            let (mean, var) = (mean?, var?);
            let count = mean.len();
            let (weight, bias) = match (weight, bias) {
                (Some(weight), Some(bias)) => (weight?, bias?),
                // Without parameters of its own.
                (None, None) => (vec![1.0; count], vec![0.0; count]),
                _ => return Ok(None),
            };
            ensure!(
                [var.len(), weight.len(), bias.len()] == [count; 3],
                "`{name}` has statistics and parameters of different lengths"
            );
            let scale =
                weight.iter().zip(&var).map(|(weight, var)| weight / (var + epsilon).sqrt()).collect::<Vec<_>>();
            let shift = bias.iter().zip(&mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
            return Ok(Some(BatchNorm { name: name.to_owned(), scale, shift }));
        }
        Ok(None)
    }

    /// Returns `true` if a tensor is a part of a batch normalisation that [`fold`] applies.
    pub fn explains(scope: &Scope, hidden: &[String], heads: &[&str], tensor: &str) -> bool {
        let Some((name, part)) = tensor.rsplit_once('.') else { return false };
        let is_part = COUNTERS.contains(&part) || KINDS.iter().any(|(parts, _)| parts.contains(&part));
        is_part
            && matches!(BatchNorm::read(scope, name), Ok(Some(_)))
            && hidden.first().is_some_and(|layer| series(layer) == series(name))
            && hidden.last().is_some_and(|layer| number(name) <= number(layer) + 2)
            && !heads.iter().any(|head| series(head) == series(name) && number(head) < number(name))
    }

    /// Makes the normalisation a part of the layer that follows it.
    pub fn before(&self, linear: &mut Linear) -> Result<()> {
        self.check(linear.inputs)?;
        for (row, bias) in linear.weight.chunks_exact_mut(linear.inputs.max(1)).zip(&mut linear.bias) {
            let moved = row.iter().zip(&self.shift).map(|(weight, shift)| f64::from(*weight) * shift).sum::<f64>();
            *bias = (f64::from(*bias) + moved) as f32;
            row.iter_mut().zip(&self.scale).for_each(|(weight, scale)| *weight = (f64::from(*weight) * scale) as f32);
        }
        Ok(())
    }

    /// Makes the normalisation a part of the layer that it follows.
    pub fn after(&self, linear: &mut Linear) -> Result<()> {
        self.check(linear.outputs)?;
        let rows = linear.weight.chunks_exact_mut(linear.inputs.max(1)).zip(&mut linear.bias);
        for ((row, bias), (scale, shift)) in rows.zip(self.scale.iter().zip(&self.shift)) {
            row.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
            *bias = (f64::from(*bias) * scale + shift) as f32;
        }
        Ok(())
    }

    fn check(&self, count: usize) -> Result<()> {
        let found = self.scale.len();
        ensure!(found == count, "`{}` normalises {found} numbers, and the layer beside it has {count}", self.name);
        Ok(())
    }
}

/// Applies the batch normalisations of a series to its hidden layers, in order, and to the heads after them. Returns their names.
pub fn fold(scope: &Scope, hidden: &mut [&mut Linear], heads: &mut [&mut Linear]) -> Result<Vec<String>> {
    let Some(first) = hidden.first() else { return Ok(vec![]) };
    let of_series = series(&first.name);
    if !of_series.contains("{n}") {
        return Ok(vec![]);
    }
    let mut names = vec![];
    let last = hidden.last().map_or(0, |linear| number(&linear.name));
    for index in 0..=last + 2 {
        let Some(norm) = BatchNorm::read(scope, &of_series.replace("{n}", &index.to_string()))? else { continue };
        let at = |linear: &&mut &mut Linear| number(&linear.name);
        if let Some(before) = hidden.iter_mut().find(|linear| at(linear) + 1 == index) {
            norm.after(before)?;
        } else if let Some(next) = hidden.iter_mut().find(|linear| at(linear) > index) {
            norm.before(next)?;
        } else {
            heads.iter_mut().try_for_each(|head| norm.before(head))?;
        }
        names.push(norm.name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalisation_before_or_after_a_layer_becomes_a_part_of_it() {
        let norm = BatchNorm { name: "0".into(), scale: vec![2.0, 3.0], shift: vec![1.0, -1.0] };
        let linear = || Linear {
            name: "1".into(),
            inputs: 2,
            outputs: 2,
            weight: vec![1.0, 2.0, 3.0, 4.0],
            bias: vec![0.5, 0.0],
        };
        let x = [0.7, -0.3];
        let normalised = |x: &[f64]| vec![x[0] * 2.0 + 1.0, x[1] * 3.0 - 1.0];
        let near = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6);
        let (mut before, mut after) = (linear(), linear());
        norm.before(&mut before).unwrap();
        assert!(near(before.of(&x), linear().of(&normalised(&x))));
        norm.after(&mut after).unwrap();
        assert!(near(after.of(&x), normalised(&linear().of(&x))));
    }
}
