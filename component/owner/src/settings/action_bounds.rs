//! The action bounds that the operator supplies for checkpoints that do not contain them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The bounds that actions are scaled to. Each list has one number for every dimension, or one for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionBounds {
    /// The lower bounds.
    pub low: Vec<f64>,
    /// The upper bounds.
    pub high: Vec<f64>,
}

/// A setting is not [`ActionBounds`].
#[derive(Debug, Error, PartialEq)]
pub enum InvalidActionBounds {
    /// The text has no colon, or more than one.
    #[error("expected `unit` (-1 to 1) or LOW:HIGH, each side one number or one for every dimension: -2:2 or -1,0:1,2")]
    Form,
    /// A bound is not a finite number.
    #[error("`{0}` is not a finite number; expected `unit` or LOW:HIGH, such as -2:2 or -1,0:1,2")]
    NotNumber(String),
    /// Both sides have more than one number, and not the same number of them.
    #[error("{0} lower bounds and {1} upper bounds; expected as many of each, or one for all dimensions")]
    Lengths(usize, usize),
    /// A lower bound is not below its upper bound.
    #[error("the lower bound {0} is not below the upper bound {1}")]
    Order(f64, f64),
}

impl ActionBounds {
    /// The bounds -1 and 1 in every dimension.
    pub fn unit() -> Self {
        ActionBounds { low: vec![-1.0], high: vec![1.0] }
    }
}

/// Shows the bounds as LOW:HIGH.
impl fmt::Display for ActionBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        f.pad(&format!("{}:{}", side(&self.low), side(&self.high)))
    }
}

/// Parses `unit` or `LOW:HIGH`. Each side is one number, or numbers separated by commas.
impl FromStr for ActionBounds {
    type Err = InvalidActionBounds;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "unit" {
            return Ok(ActionBounds::unit());
        }
        let (low, high) = text.split_once(':').ok_or(InvalidActionBounds::Form)?;
        if high.contains(':') {
            return Err(InvalidActionBounds::Form);
        }
        let bounds = ActionBounds { low: numbers(low)?, high: numbers(high)? };
        bounds.check()?;
        Ok(bounds)
    }
}

impl ActionBounds {
    fn check(&self) -> Result<(), InvalidActionBounds> {
        let (lows, highs) = (self.low.len(), self.high.len());
        if lows != highs && lows != 1 && highs != 1 {
            return Err(InvalidActionBounds::Lengths(lows, highs));
        }
        let dimensions = 0..lows.max(highs);
        let mut pairs = dimensions.map(|i| (self.low[i.min(lows - 1)], self.high[i.min(highs - 1)]));
        match pairs.find(|(low, high)| low >= high) {
            Some((low, high)) => Err(InvalidActionBounds::Order(low, high)),
            None => Ok(()),
        }
    }
}

/// Returns at least one number.
fn numbers(text: &str) -> Result<Vec<f64>, InvalidActionBounds> {
    let parse = |number: &str| {
        let number = number.trim();
        let parsed = number.parse::<f64>().ok().filter(|parsed| parsed.is_finite());
        parsed.ok_or_else(|| InvalidActionBounds::NotNumber(number.to_owned()))
    };
    text.split(',').map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_one_number_and_one_for_each_dimension_are_bounds() {
        let parsed = |text: &str| text.parse::<ActionBounds>().map(|bounds| (bounds.low, bounds.high));
        assert_eq!(parsed("unit"), Ok((vec![-1.0], vec![1.0])));
        assert_eq!(parsed("-2:2"), Ok((vec![-2.0], vec![2.0])));
        assert_eq!(parsed(" -1, 0 : 1,2.5e0 "), Ok((vec![-1.0, 0.0], vec![1.0, 2.5])));
        assert_eq!(parsed("0:1,2"), Ok((vec![0.0], vec![1.0, 2.0])));
        assert_eq!(parsed("-1,-2:0"), Ok((vec![-1.0, -2.0], vec![0.0])));
        assert_eq!("-1, -2:0.5".parse().map(|bounds: ActionBounds| bounds.to_string()), Ok("-1,-2:0.5".to_owned()));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        let error = |text: &str| text.parse::<ActionBounds>().expect_err(text).to_string();
        for text in ["", "2", "Unit", "-1:0:1"] {
            assert!(error(text).starts_with("expected `unit` (-1 to 1) or LOW:HIGH, "), "{text}");
        }
        for text in ["-inf:inf", "a:1", ":1", "-1:", "0:1,", "nan:1"] {
            assert!(error(text).contains(" is not a finite number; expected `unit` or LOW:HIGH"), "{text}");
        }
        assert!(error("0,0:1,1,1").starts_with("2 lower bounds and 3 upper bounds"));
        assert_eq!(error("0,2:1,2"), "the lower bound 2 is not below the upper bound 2");
        assert_eq!(error("0,2:1"), "the lower bound 2 is not below the upper bound 1");
    }
}
