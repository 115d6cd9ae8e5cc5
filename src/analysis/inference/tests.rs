use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

/// Normal values from a fixed seed (Box and Muller).
struct Normal(Xoshiro256PlusPlus);

impl Normal {
    fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    fn value(&mut self, mean: f64, spread: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.random_range(0.0..1.0_f64)).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * self.0.random_range(0.0..1.0_f64);
        mean + spread * radius * angle.cos()
    }

    fn values(&mut self, count: usize, mean: f64, spread: f64) -> Vec<f64> {
        (0..count).map(|_| self.value(mean, spread)).collect()
    }
}

/// How many of 1,000 simulated experiments call the sets different.
fn called_different(seed: u64, count: usize, cv: f64, truth: f64, paired: bool) -> usize {
    let mut normal = Normal::new(seed);
    let compare = if paired { compare_pairs } else { compare };
    (0..1000)
        .filter(|_| {
            let a = normal.values(count, 100.0, 100.0 * cv);
            let b = normal.values(count, 100.0 * truth, 100.0 * truth * cv);
            compare(&a, &b).unwrap().differs
        })
        .count()
}

#[test]
fn equal_sets_are_called_different_no_more_often_than_the_level_says() {
    for (seed, count) in [(1, 5), (2, 8), (3, 10), (4, 20)] {
        for paired in [false, true] {
            let found = called_different(seed, count, 0.01, 1.0, paired);
            assert!((20..=80).contains(&found), "{count} {paired}: {found} of 1000");
        }
    }
}

#[test]
fn real_differences_are_found() {
    for paired in [false, true] {
        let found = called_different(11, 8, 0.01, 1.02, paired);
        assert!(found > 900, "2 % at a CV of 1 % with 8: {found} of 1000, paired {paired}");
        let found = called_different(12, 10, 0.005, 1.01, paired);
        assert!(found > 900, "1 % at a CV of 0.5 % with 10: {found} of 1000, paired {paired}");
    }
}

#[test]
fn pairs_see_through_a_drift_that_blinds_independent_sets() {
    // A and B in ABBA order on a machine that warms up by 0.5 % a run; B uses 2 % more.
    let mut normal = Normal::new(21);
    let (mut paired, mut welch) = (0, 0);
    for _ in 0..1000 {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for run in 0..16 {
            let drift = 1.0 + 0.005 * f64::from(run);
            if matches!(run % 4, 0 | 3) {
                a.push(100.0 * drift * normal.value(1.0, 0.005));
            } else {
                b.push(102.0 * drift * normal.value(1.0, 0.005));
            }
        }
        paired += usize::from(compare_pairs(&a, &b).unwrap().differs);
        welch += usize::from(compare(&a, &b).unwrap().differs);
    }
    assert!(paired > 950 && welch < paired / 2, "{paired} {welch}");
}

#[test]
fn the_interval_of_a_ratio_covers_it() {
    let mut normal = Normal::new(31);
    let covered = (0..1000)
        .filter(|_| {
            let a = normal.values(6, 50.0, 1.0);
            let b = normal.values(9, 60.0, 0.6);
            let [low, high] = compare(&a, &b).unwrap().interval_95;
            low <= 1.2 && 1.2 <= high
        })
        .count();
    assert!((935..=968).contains(&covered), "{covered} of 1000");
}

/// Coverage of the mean and mean number of repetitions, for a way of stopping.
fn coverage(
    seed: u64,
    cv: f64,
    stop: impl Fn(&mut Normal, f64) -> (usize, [f64; 2]),
) -> (f64, f64) {
    const TRIALS: u32 = 4000;
    let mut normal = Normal::new(seed);
    let (mut covered, mut taken) = (0_u32, 0);
    for _ in 0..TRIALS {
        let (count, [low, high]) = stop(&mut normal, cv);
        covered += u32::from(low <= 1.0 && 1.0 <= high);
        taken += count;
    }
    (f64::from(covered) / f64::from(TRIALS), taken as f64 / f64::from(TRIALS))
}

const TARGET: f64 = 0.01;
const FIRST: usize = 5;

fn two_stages(normal: &mut Normal, cv: f64) -> (usize, [f64; 2]) {
    let mut values = normal.values(FIRST, 1.0, cv);
    let needed = repetitions_needed(&values, TARGET).unwrap() as usize;
    let more = normal.values(needed - FIRST, 1.0, cv);
    values.extend(more);
    (values.len(), two_stage_interval_95(&values, FIRST).unwrap())
}

fn naive(normal: &mut Normal, cv: f64) -> (usize, [f64; 2]) {
    let mut values = normal.values(FIRST, 1.0, cv);
    loop {
        let [low, high] = interval_95(&values).unwrap();
        if high - low <= 2.0 * TARGET * mean(&values).unwrap() || values.len() >= 1000 {
            return (values.len(), [low, high]);
        }
        values.push(normal.value(1.0, cv));
    }
}

#[test]
fn two_stages_keep_their_coverage_where_stopping_at_a_narrow_interval_does_not() {
    for (seed, cv) in [(41, 0.002), (42, 0.01), (43, 0.02), (44, 0.03)] {
        let (found, taken) = coverage(seed, cv, two_stages);
        assert!(found >= 0.94, "CV {cv}: {found} with {taken} repetitions");
    }
    let (found, _) = coverage(45, 0.02, naive);
    assert!(found < 0.925, "the naive stop covers {found}: the test has lost its teeth");
}

#[test]
fn a_narrow_first_stage_ends_it_and_a_wide_one_asks_for_more() {
    let narrow = [100.0, 100.1, 99.9, 100.05, 99.95];
    assert_eq!(repetitions_needed(&narrow, 0.01), Some(5));
    // CV 2 %: (2.776 * 0.02 / 0.01)^2 = 30.8.
    let spread = 0.02 / (0.4_f64 * 100.0 * 100.0 / 4.0).sqrt() * 100.0;
    let wide: Vec<f64> = [-1.0, -1.0, 0.0, 1.0, 1.0]
        .iter()
        .map(|step| 1.0 + step * spread / 0.5_f64.sqrt())
        .collect();
    let cv = variation(&wide).unwrap();
    let expected = (2.776_445 * cv / 0.01).powi(2).ceil() as u32;
    assert_eq!(repetitions_needed(&wide, 0.01), Some(expected));
    assert_eq!(repetitions_needed(&[1.0], 0.01), None);
}

#[test]
fn an_outlier_is_shown_and_a_plain_sample_shows_few() {
    assert_eq!(outliers(&[10.0, 10.1, 9.9, 10.05, 14.0, 9.95]), [4]);
    let two = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02, 9.98, 10.03, 14.0, 14.1];
    assert_eq!(outliers(&two), [8, 9], "two that hide each other");
    assert_eq!(outliers(&[1.0, 1.0, 9.0]), [0_usize; 0]);
    assert_eq!(outliers(&[5.0; 8]), [0_usize; 0]);
    let mut normal = Normal::new(51);
    let any = (0..1000).filter(|_| !outliers(&normal.values(8, 1.0, 0.01)).is_empty()).count();
    assert!((25..=75).contains(&any), "{any} of 1000");
}

#[test]
fn grubbs_critical_values_agree_with_the_table() {
    // NIST/SEMATECH e-Handbook, 1.3.5.17.1 (two-sided, 5 %): G for 8 values 2.126, for 10 2.290, for 20 2.709.
    for (count, expected) in [(8, 2.126), (10, 2.290), (20, 2.709)] {
        assert!((critical_deviate(count) - expected).abs() < 1e-3, "{count}");
    }
}

#[test]
fn drift_is_found_where_there_is_one_and_rarely_where_there_is_none() {
    let mut normal = Normal::new(61);
    let rising: Vec<f64> =
        (0..8).map(|step| normal.value(100.0, 0.3) + 0.5 * f64::from(step)).collect();
    let found = drift(&rising).unwrap();
    assert!(found.p < 0.01 && (found.per_repetition - 0.005).abs() < 0.002, "{found:?}");
    let mut normal = Normal::new(62);
    let chance =
        (0..1000).filter(|_| drift(&normal.values(8, 1.0, 0.01)).unwrap().p < SIGNIFICANT).count();
    assert!((25..=75).contains(&chance), "{chance} of 1000");
    assert_eq!(drift(&[1.0, 2.0, 3.0]), None);
    assert!(drift(&[2.0; 6]).unwrap().p > 0.999);
}

#[test]
fn welch_and_satterthwaite_agree_with_a_computation_by_hand() {
    // The logarithms are 3.0, 3.1, 2.9, 3.2 (mean 3.05, variance 1/60) and 3.6, 3.4, 3.9, 3.2, 3.5 (3.52, 0.067).
    let exp = |values: &[f64]| values.iter().map(|value| value.exp()).collect::<Vec<_>>();
    let found = compare(&exp(&[3.0, 3.1, 2.9, 3.2]), &exp(&[3.6, 3.4, 3.9, 3.2, 3.5])).unwrap();
    assert!((found.ratio.ln() - 0.47).abs() < 1e-12);
    let (a, b) = (0.016_666_666_666_666_67 / 4.0, 0.067 / 5.0);
    let degrees = (a + b) * (a + b) / (a * a / 3.0 + b * b / 4.0);
    assert!((found.degrees - degrees).abs() < 1e-9, "{found:?}");
    let half = (found.interval_95[1] / found.ratio).ln();
    let expected = two_sided_quantile(0.05, degrees) * f64::sqrt(a + b);
    assert!((half - expected).abs() < 1e-9);
}

#[test]
fn sets_that_cannot_be_compared_say_why() {
    assert_eq!(compare(&[1.0], &[1.0, 2.0]), Err(NoComparison::TooFew(1, 2)));
    assert_eq!(compare(&[1.0, 0.0], &[1.0, 2.0]), Err(NoComparison::NotPositive));
    assert_eq!(compare_pairs(&[1.0, 2.0, 3.0], &[1.0, 2.0]), Err(NoComparison::Unpaired(3, 2)));
    let same = compare(&[2.0, 2.0], &[2.0, 2.0]).unwrap();
    assert!(!same.differs && (same.ratio - 1.0).abs() < 1e-12);
    assert!(compare(&[2.0, 2.0], &[3.0, 3.0]).unwrap().differs);
}

proptest! {
    #[test]
    fn the_ratio_turns_round_with_the_sets(
        a in proptest::collection::vec(0.1..10.0_f64, 2..12),
        b in proptest::collection::vec(0.1..10.0_f64, 2..12),
    ) {
        let (there, back) = (compare(&a, &b).unwrap(), compare(&b, &a).unwrap());
        prop_assert!((there.ratio * back.ratio - 1.0).abs() < 1e-9);
        prop_assert!((there.interval_95[0] * back.interval_95[1] - 1.0).abs() < 1e-9);
        prop_assert!((there.p - back.p).abs() < 1e-9);
    }

    #[test]
    fn the_interval_holds_the_mean_and_scales_with_the_unit(
        values in proptest::collection::vec(1.0..10.0_f64, 2..20), factor in 0.1..100.0_f64,
    ) {
        let [low, high] = interval_95(&values).unwrap();
        let centre = mean(&values).unwrap();
        prop_assert!(low <= centre && centre <= high);
        let scaled: Vec<f64> = values.iter().map(|value| value * factor).collect();
        let [low_scaled, high_scaled] = interval_95(&scaled).unwrap();
        prop_assert!((low_scaled - low * factor).abs() < 1e-7 * factor * centre.max(1.0) * 100.0);
        prop_assert!((high_scaled - high * factor).abs() < 1e-7 * factor * centre.max(1.0) * 100.0);
        prop_assert_eq!(outliers(&values), outliers(&scaled));
    }
}
