//! The totals of all routes since the start that the charts need.

use prometheus::core::{Collector, Metric};

use super::Metrics;

/// The percentiles of the latency of predictions.
pub(crate) const PERCENTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// The totals since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    /// Requests that were answered with 400 or above, or cut off.
    pub(crate) errors: u64,
    /// The numbers of answered predictions that took at most so many seconds, with these seconds, in ascending order.
    pub(crate) predictions: Vec<(f64, u64)>,
}

impl Metrics {
    /// Reads the totals.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for family in self.requests.collect() {
            for metric in family.get_metric() {
                let requests = metric.get_counter().get_value() as u64;
                let status = metric.get_label().iter().find(|label| label.name() == "status");
                let status = status.and_then(|status| status.value().parse::<u16>().ok());
                totals.requests += requests;
                if status.is_none_or(|status| status >= 400) {
                    totals.errors += requests;
                }
            }
        }
        let metric = self.predicted_time.metric();
        let buckets = metric.get_histogram().get_bucket().iter();
        totals.predictions.extend(buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())));
        totals.predictions.push((f64::INFINITY, metric.get_histogram().get_sample_count()));
        totals
    }
}

impl Totals {
    /// Returns the percentiles, in seconds, of the predictions since `earlier`, interpolated within a bucket; or `None` if there
    /// were none.
    pub(crate) fn latency_since(&self, earlier: &Totals) -> Option<[f64; PERCENTILES.len()]> {
        let before = |place: usize| earlier.predictions.get(place).map_or(0, |(_, number)| *number);
        let since = |(place, (bound, number)): (usize, &(f64, u64))| (*bound, number.saturating_sub(before(place)));
        let buckets = self.predictions.iter().enumerate().map(since).collect::<Vec<_>>();
        let all = buckets.last().map_or(0, |(_, number)| *number);
        (all > 0).then(|| PERCENTILES.map(|share| percentile(&buckets, share * all as f64)))
    }
}

/// Returns the time below which so many of the predictions are. The last bucket has no upper bound, so its lower one counts.
fn percentile(buckets: &[(f64, u64)], rank: f64) -> f64 {
    let (mut low, mut under) = (0.0, 0);
    for (high, number) in buckets {
        if *number as f64 >= rank && *number > under {
            let share = (rank - under as f64) / (number - under) as f64;
            return if high.is_finite() { low + (high - low) * share } else { low };
        }
        (low, under) = (*high, *number);
    }
    low
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn requests_of_all_routes_are_added_up_and_answered_predictions_alone_are_timed() {
        let metrics = Metrics::new().unwrap();
        let ends =
            [("/sac/predict", Some(200)), ("/sac/predict", Some(422)), ("/none", Some(404)), ("/sac/health", None)];
        for (path, status) in ends {
            let request = metrics.request(path);
            // One that is dropped without a status was cut off.
            if let Some(status) = status {
                request.finish(StatusCode::from_u16(status).unwrap());
            }
        }
        metrics.request("/v2/models/a/infer").finish(StatusCode::OK);
        let totals = metrics.totals();
        assert_eq!((totals.requests, totals.errors), (5, 3));
        assert_eq!(totals.predictions.last(), Some(&(f64::INFINITY, 2)));
        assert!(totals.predictions.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{totals:?}");
    }

    #[test]
    fn percentiles_are_of_the_predictions_since_then() {
        let metrics = Metrics::new().unwrap();
        let predict = |milliseconds: u64, times: usize| {
            let seconds = Duration::from_millis(milliseconds).as_secs_f64();
            (0..times).for_each(|_| metrics.predicted_time.observe(seconds));
        };
        predict(1000, 50);
        let earlier = metrics.totals();
        assert_eq!(metrics.totals().latency_since(&earlier), None);
        predict(1, 97);
        predict(100, 3);
        let [p50, p90, p99] = metrics.totals().latency_since(&earlier).unwrap();
        // Buckets reach from 0.64 to 1.28 ms, and from 82 to 164 ms.
        assert!((0.64e-3..1.28e-3).contains(&p50) && p50 < p90 && p90 < 1.28e-3, "{p50} {p90}");
        assert!((0.08..0.17).contains(&p99), "{p99}");
        // Beyond the last bound there is nothing to interpolate.
        let earlier = metrics.totals();
        predict(60_000, 1);
        let [p50, ..] = metrics.totals().latency_since(&earlier).unwrap();
        assert!(p50.is_finite() && p50 > 10.0, "{p50}");
    }
}
