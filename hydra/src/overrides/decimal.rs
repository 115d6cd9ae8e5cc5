//! Ranges of floats: the steps are added in decimal numbers of 28 digits, as Python's `decimal` does
//! by default, and each number becomes a float only then.

use std::cmp::Ordering;

use super::sweep::{Number, too_many};
use crate::error::ErrorKind;
use crate::limits::MAX_JOBS;

/// Digits that an addition keeps.
const PRECISION: usize = 28;

/// A finite decimal number: the digits, most significant first, times ten to the exponent.
#[derive(Debug, Clone)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
}

/// The numbers from `start` on as floats.
pub(super) fn decimal_range(
    start: Number,
    stop: Number,
    step: Number,
) -> Result<Vec<f64>, ErrorKind> {
    let sign = step.float();
    if [start, stop, step].into_iter().any(|number| number.float().is_nan()) {
        let message = "a range cannot have `nan` in it".to_owned();
        return Err(ErrorKind::SweepValue(message));
    }
    if sign == 0.0 {
        let [start, stop, step] = [start, stop, step].map(decimal_text);
        let message = format!("Invalid range values (start:{start}, stop:{stop}, step:{step})");
        return Err(ErrorKind::Sweep(message));
    }
    let (Some(mut at), Some(step)) = (Decimal::of(start), Decimal::of(step)) else {
        return infinite_range(start.float(), stop.float(), sign);
    };
    let wanted = if sign > 0.0 { Ordering::Less } else { Ordering::Greater };
    let stop_float = stop.float();
    let Some(stop) = Decimal::of(stop) else {
        // It never gets there, or it is beyond it from the start.
        let order = 0.0_f64.total_cmp(&stop_float);
        return if order == wanted { Err(too_many()) } else { Ok(Vec::new()) };
    };
    // Told before the numbers are made: each may have a thousand digits.
    #[expect(clippy::cast_precision_loss, reason = "an estimate, on the safe side of the limit")]
    let most = MAX_JOBS as f64 * 1.01;
    if (stop_float - start.float()) / sign > most {
        return Err(too_many());
    }
    let mut numbers = Vec::new();
    while at.compare(&stop) == wanted {
        if numbers.len() >= MAX_JOBS {
            return Err(too_many());
        }
        numbers.push(at.float());
        let next = at.plus(&step).rounded();
        if next.compare(&at) == Ordering::Equal {
            return Err(too_many());
        }
        at = next;
    }
    Ok(numbers)
}

/// An infinite start never moves; an infinite step ends after the first number.
fn infinite_range(start: f64, stop: f64, step: f64) -> Result<Vec<f64>, ErrorKind> {
    let before = if step > 0.0 { start < stop } else { start > stop };
    match (before, start.is_infinite()) {
        (false, _) => Ok(Vec::new()),
        (true, true) => Err(too_many()),
        (true, false) => Ok(vec![start]),
    }
}

/// A number as Python's `str(Decimal(number))` writes it.
fn decimal_text(number: Number) -> String {
    match Decimal::of(number) {
        Some(decimal) => decimal.text(),
        None if number.float() > 0.0 => "Infinity".to_owned(),
        None => "-Infinity".to_owned(),
    }
}

impl Decimal {
    /// The exact value, unless it is infinite or no number.
    fn of(number: Number) -> Option<Self> {
        if let Some(whole) = number.whole() {
            let digits = whole.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
            return Some(Self { negative: whole < 0, digits, exponent: 0 });
        }
        let value = number.float();
        if !value.is_finite() {
            return None;
        }
        // 1074 decimals are enough for the smallest float, and all are exact.
        let text = format!("{:.1074}", value.abs());
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        let exponent = -i32::try_from(fraction.len()).ok()?;
        Some(Self { negative: value.is_sign_negative(), digits, exponent }.trimmed())
    }

    /// Without leading zeros; at least one digit stays.
    fn trimmed(mut self) -> Self {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros.min(self.digits.len() - 1));
        self
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// The digits on a scale of that exponent, which is not above the own one.
    fn scaled(&self, exponent: i32) -> Vec<u8> {
        let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
        let mut digits = self.digits.clone();
        digits.extend(std::iter::repeat_n(0, zeros));
        digits
    }

    fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (mut a, mut b) = (self.scaled(exponent), other.scaled(exponent));
        let length = a.len().max(b.len()) + 1;
        for digits in [&mut a, &mut b] {
            digits.splice(0..0, std::iter::repeat_n(0, length - digits.len()));
        }
        let (negative, digits) = if self.negative == other.negative {
            (self.negative, add(&a, &b))
        } else if a >= b {
            (self.negative, subtract(&a, &b))
        } else {
            (other.negative, subtract(&b, &a))
        };
        let sum = Self { negative, digits, exponent }.trimmed();
        let negative = sum.negative && !sum.is_zero();
        Self { negative, ..sum }
    }

    /// Rounded to the nearest number of 28 digits, a tie to the even one.
    fn rounded(mut self) -> Self {
        let Some(extra) = self.digits.len().checked_sub(PRECISION).filter(|extra| *extra > 0)
        else {
            return self;
        };
        let dropped = self.digits.split_off(PRECISION);
        self.exponent += i32::try_from(extra).unwrap_or(i32::MAX);
        let tie = dropped[0] == 5 && dropped[1..].iter().all(|digit| *digit == 0);
        let odd = self.digits[PRECISION - 1] % 2 == 1;
        if (dropped[0] >= 5 && !tie) || (tie && odd) {
            let one = std::iter::repeat_n(0, PRECISION).chain([1]).collect::<Vec<_>>();
            self.digits.insert(0, 0);
            self.digits = add(&self.digits, &one);
            self = self.trimmed();
        }
        // A carry may have made it one digit longer; that digit is a zero.
        if self.digits.len() > PRECISION { self.rounded() } else { self }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let difference = self.plus(&Self { negative: !other.negative, ..other.clone() });
        match (difference.is_zero(), difference.negative) {
            (true, _) => Ordering::Equal,
            (false, true) => Ordering::Less,
            (false, false) => Ordering::Greater,
        }
    }

    fn digit_text(&self) -> String {
        self.digits.iter().map(|digit| char::from(b'0' + digit)).collect()
    }

    fn float(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{}e{}", self.digit_text(), self.exponent);
        text.parse().unwrap_or(f64::NAN)
    }

    /// Plain down to six zeros after the point, with an exponent below that.
    fn text(&self) -> String {
        let digits = self.digit_text();
        let sign = if self.negative { "-" } else { "" };
        let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let point = self.exponent + length;
        if self.exponent == 0 {
            return format!("{sign}{digits}");
        }
        if point > 0 {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            return format!("{sign}{whole}.{fraction}");
        }
        if point > -6 {
            let zeros = "0".repeat(usize::try_from(-point).unwrap_or(0));
            return format!("{sign}0.{zeros}{digits}");
        }
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}E{}", point - 1)
    }
}

/// The sum of two numbers of equally many digits that does not need another one.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut sum: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = a + b + carry;
            carry = digit / 10;
            digit % 10
        })
        .collect();
    sum.reverse();
    sum
}

/// The difference of two numbers of equally many digits, the larger one first.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = 10 + a - b - borrow;
            borrow = u8::from(digit < 10);
            digit % 10
        })
        .collect();
    difference.reverse();
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: f64, stop: f64, step: f64) -> Vec<f64> {
        decimal_range(Number::Float(start), Number::Float(stop), Number::Float(step)).unwrap()
    }

    #[test]
    fn steps_are_added_in_28_digits() {
        assert_eq!(range(0.1, 0.6, 0.1), [0.1, 0.2, 0.300_000_000_000_000_04, 0.4, 0.5]);
        assert_eq!(range(0.0, 3.0, 1.0), [0.0, 1.0, 2.0]);
        let down = [1.0, 0.700_000_000_000_000_1, 0.4, 0.100_000_000_000_000_03];
        assert_eq!(range(1.0, 0.0, -0.3), down);
        assert_eq!(range(1e-3, 1e-2, 3e-3), [0.001, 0.004, 0.007]);
        assert_eq!(range(5.0, 1.0, 1.0), [0.0; 0]);
        assert_eq!(range(-0.5, 0.5, 0.5), [-0.5, 0.0]);
    }

    #[test]
    fn what_never_ends_is_an_error() {
        for (start, stop, step) in [
            (0.0, f64::INFINITY, 1.0),
            (f64::NEG_INFINITY, 0.0, 1.0),
            (1e300, 2e300, 1.0),
            (0.0, 1.0, 1e-300),
            (f64::NAN, 1.0, 1.0),
        ] {
            let [start, stop, step] = [start, stop, step].map(Number::Float);
            assert!(decimal_range(start, stop, step).is_err(), "{start:?} {stop:?} {step:?}");
        }
        assert_eq!(range(0.0, 5.0, f64::INFINITY), [0.0]);
        assert_eq!(range(0.0, f64::NEG_INFINITY, 1.0), [0.0; 0]);
    }

    #[test]
    fn exact_values_are_written_as_python_writes_them() {
        let text = |value: f64| decimal_text(Number::Float(value));
        assert_eq!(text(0.5), "0.5");
        assert_eq!(text(-0.0), "-0");
        assert_eq!(text(1e22), "10000000000000000000000");
        assert_eq!(text(0.1), "0.1000000000000000055511151231257827021181583404541015625");
        assert_eq!(text(2.0_f64.powi(-20)), "9.5367431640625E-7");
        assert_eq!(text(2.0_f64.powi(-19)), "0.0000019073486328125");
    }

    #[test]
    fn a_carry_through_all_digits_keeps_the_precision() {
        let nines = Decimal { negative: false, digits: vec![9; 30], exponent: 0 };
        let rounded = nines.rounded();
        assert_eq!(rounded.digits.len(), PRECISION);
        assert_eq!(rounded.float().to_string(), 1e30_f64.to_string());
    }
}
