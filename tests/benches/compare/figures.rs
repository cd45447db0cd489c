//! The figures of a server: for each row of the report, what every round measured.

use std::time::Duration;

/// A percentile.
pub type Percent = f64;

pub const P50: Percent = 50.0;
pub const P99: Percent = 99.0;
pub const P999: Percent = 99.9;

/// The figures of one server, in the order in which they were measured first.
#[derive(Default)]
pub struct Figures(Vec<Row>);

/// One figure, with what each round measured.
pub struct Row {
    pub name: String,
    /// "s", "B", or nothing for a number by itself.
    pub unit: &'static str,
    percent: Percent,
    rounds: Vec<Vec<f64>>,
}

impl Figures {
    /// Adds what a round measured. The figure is a percentile of all rounds together.
    pub fn add(&mut self, name: &str, unit: &'static str, percent: Percent, round: impl IntoIterator<Item = f64>) {
        let round = round.into_iter().collect();
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(round),
            None => self.0.push(Row { name: name.to_owned(), unit, percent, rounds: vec![round] }),
        }
    }

    pub fn add_time(&mut self, name: &str, percent: Percent, round: impl IntoIterator<Item = Duration>) {
        self.add(name, "s", percent, round.into_iter().map(|time| time.as_secs_f64()));
    }

    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    pub fn row(&self, name: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.name == name)
    }
}

impl Row {
    pub fn value(&self) -> f64 {
        percentile(self.rounds.concat(), self.percent)
    }

    /// Returns the ratio to the same figure of another server, with the least and the largest ratio of a round.
    pub fn ratio(&self, ceiling: &Row) -> (f64, [f64; 2]) {
        let rounds = self.rounds.iter().zip(&ceiling.rounds);
        let of_rounds = rounds
            .map(|(ours, theirs)| percentile(ours.clone(), self.percent) / percentile(theirs.clone(), self.percent));
        let spread = of_rounds.fold([f64::INFINITY, 0.0], |[low, high], ratio| [low.min(ratio), high.max(ratio)]);
        (self.value() / ceiling.value(), spread)
    }
}

fn percentile(mut values: Vec<f64>, percent: Percent) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = (values.len() as f64 * percent / 100.0) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
