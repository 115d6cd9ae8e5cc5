//! Student's t distribution: tails and quantiles, through the incomplete beta function.

/// Longest continued fraction; it converges in some tens of terms wherever it is used.
const TERMS: u32 = 300;
const SMALLEST: f64 = 1e-300;

/// Logarithm of the gamma function for `x > 0` (Lanczos' approximation with g = 7 and 9 terms; 15 digits).
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = COEFFICIENTS[0];
    for (index, coefficient) in COEFFICIENTS.iter().enumerate().skip(1) {
        sum += coefficient / (x + index as f64);
    }
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges quickly on one side of the mean only; the other side is the complement.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away = |value: f64| if value.abs() < SMALLEST { SMALLEST } else { value };
    let mut c = 1.0;
    let mut d = away(1.0 - (a + b) * x / (a + 1.0)).recip();
    let mut result = d;
    for term in 1..=TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = away(1.0 + even * d).recip();
        c = away(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = away(1.0 + odd * d).recip();
        c = away(1.0 + odd / c);
        let step = d * c;
        result *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// Probability that a t variable with `df` degrees of freedom (above 0, not necessarily whole) lies further from zero
/// than `t`, on either side.
#[must_use]
pub fn two_sided_p(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
}

/// The t beyond which (on either side together) lies the probability `tail`, between 0 and 1: 0.05 for a 95 % interval.
#[must_use]
pub fn two_sided_quantile(tail: f64, df: f64) -> f64 {
    let tail = tail.clamp(1e-12, 1.0);
    let mut high = 1.0;
    while two_sided_p(high, df) > tail && high < 1e15 {
        high *= 2.0;
    }
    let mut low = 0.0;
    while high - low > 1e-13 * high {
        let middle = f64::midpoint(low, high);
        if two_sided_p(middle, df) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_agree_with_the_printed_tables() {
        // NIST/SEMATECH e-Handbook, 1.3.6.7.2: critical values of Student's t, upper tail 0.025 and 0.005.
        for (df, at_95, at_99) in [
            (1.0, 12.706, 63.657),
            (2.0, 4.303, 9.925),
            (4.0, 2.776, 4.604),
            (7.0, 2.365, 3.499),
            (9.0, 2.262, 3.250),
            (14.0, 2.145, 2.977),
            (30.0, 2.042, 2.750),
            (100.0, 1.984, 2.626),
        ] {
            assert!((two_sided_quantile(0.05, df) - at_95).abs() < 5e-4, "{df}");
            assert!((two_sided_quantile(0.01, df) - at_99).abs() < 5e-4, "{df}");
        }
        // With many degrees of freedom it is the normal distribution.
        assert!((two_sided_quantile(0.05, 1e7) - 1.959_964).abs() < 1e-5);
    }

    #[test]
    fn the_gamma_function_agrees_with_factorials() {
        assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-12);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
    }

    #[test]
    fn tails_with_one_and_two_degrees_of_freedom_have_closed_forms() {
        for t in [0.1_f64, 0.7, 1.0, 3.0, 40.0] {
            let cauchy = 1.0 - 2.0 * t.atan() / std::f64::consts::PI;
            assert!((two_sided_p(t, 1.0) - cauchy).abs() < 1e-12, "{t}");
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            assert!((two_sided_p(t, 2.0) - two).abs() < 1e-12, "{t}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_has_its_tail_beyond_it(tail in 1e-6..0.999_f64, df in 1.0..500.0_f64) {
            let t = two_sided_quantile(tail, df);
            prop_assert!((two_sided_p(t, df) - tail).abs() < 1e-9);
        }
    }
}
