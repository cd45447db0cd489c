//! The differences between the actions of a policy and those of its shadow.

/// The differences of all rows that were compared. The difference of a row is the largest of its numbers' absolute differences, in
/// the unit of the actions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Differences {
    pub(super) rows: u64,
    /// The rows whose difference is above the threshold.
    pub(super) above: u64,
    sum: f64,
    pub(super) max: f64,
}

impl Differences {
    /// Adds the rows of a request. Both are row-major [rows, action_dim], and as long as each other.
    pub(super) fn add(&mut self, actions: &[f32], others: &[f32], action_dim: usize, threshold: f64) {
        let rows = actions.chunks(action_dim.max(1)).zip(others.chunks(action_dim.max(1)));
        for (row, other) in rows {
            let differences = row.iter().zip(other).map(|(one, other)| (f64::from(*one) - f64::from(*other)).abs());
            let difference = differences.fold(0.0, f64::max);
            self.rows += 1;
            self.above += u64::from(difference > threshold);
            self.sum += difference;
            self.max = self.max.max(difference);
        }
    }

    /// Returns the mean of the rows' differences, if there is a row.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.sum / self.rows as f64)
    }

    /// Returns the part of the rows whose difference is above the threshold, if there is a row.
    pub(super) fn share_above(&self) -> Option<f64> {
        (self.rows > 0).then(|| self.above as f64 / self.rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_differs_by_the_number_that_differs_most() {
        let mut differences = Differences::default();
        assert_eq!((differences.mean(), differences.share_above()), (None, None));
        differences.add(&[0.0, 1.0, 0.5, 0.5], &[0.25, 0.0, 0.5, 0.75], 2, 0.5);
        differences.add(&[1.0, 1.0], &[1.0, 1.0], 2, 0.5);
        assert_eq!(differences, Differences { rows: 3, above: 1, sum: 1.25, max: 1.0 });
        assert_eq!(differences.mean(), Some(1.25 / 3.0));
        assert_eq!(differences.share_above(), Some(1.0 / 3.0));
    }

    #[test]
    fn a_difference_at_the_threshold_is_not_above_it() {
        let mut differences = Differences::default();
        differences.add(&[0.5], &[0.0], 1, 0.5);
        assert_eq!(differences.above, 0);
    }
}
