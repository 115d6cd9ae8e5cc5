//! Python's order of values, for `sort(...)`.

use std::cmp::Ordering;

use super::Literal;
use super::casts::number;
use super::functions::{Evaluated, Raised};
use super::sweep::{Number, Range};
use crate::value::Value;

/// The items in order; equal ones keep theirs, also in reverse.
///
/// A merge sort of our own, because an order may fail and NaN has none.
pub(super) fn sorted(mut items: Vec<Literal>, reverse: bool) -> Evaluated<Vec<Literal>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut left = sorted(items, reverse)?.into_iter().peekable();
    let mut right = sorted(right, reverse)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let right_first = if reverse { less(a, b)? } else { less(b, a)? };
        merged.extend(if right_first { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// Python's `a < b`.
fn less(a: &Literal, b: &Literal) -> Evaluated<bool> {
    match (a, b) {
        (Literal::Bare(Value::Str(a)), Literal::Bare(Value::Str(b))) => return Ok(a < b),
        (Literal::Bare(a), Literal::Bare(b)) => {
            if let (Some(a), Some(b)) = (number(a), number(b)) {
                return Ok(compare(a, b) == Some(Ordering::Less));
            }
        }
        (Literal::List(a), Literal::List(b)) => {
            return match a.iter().zip(b).find(|(a, b)| !equal(a, b)) {
                Some((a, b)) => less(a, b),
                None => Ok(a.len() < b.len()),
            };
        }
        _ => {}
    }
    let (a, b) = (a.python_type(), b.python_type());
    let message = format!("'<' not supported between instances of '{a}' and '{b}'");
    Err(Raised::new("TypeError", message))
}

/// Python's `a == b`.
fn equal(a: &Literal, b: &Literal) -> bool {
    if let (Literal::Bare(left), Literal::Bare(right)) = (a, b)
        && let (Some(left), Some(right)) = (number(left), number(right))
    {
        return compare(left, right) == Some(Ordering::Equal);
    }
    match (a, b) {
        (Literal::List(a), Literal::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        _ => a == b,
    }
}

fn compare(a: Number, b: Number) -> Option<Ordering> {
    match (a.whole(), b.whole()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.float().partial_cmp(&b.float()),
    }
}

/// The same numbers from the other end, where the range runs the other way.
pub(super) fn sorted_range(range: Range, reverse: bool) -> Evaluated<Range> {
    let wrong = if reverse { Ordering::Less } else { Ordering::Greater };
    if compare(range.start, range.stop) != Some(wrong) {
        return Ok(range);
    }
    let size = if is_negative(range.step) { negated(range.step)? } else { range.step };
    let shift = if reverse { negated(size)? } else { size };
    Ok(Range {
        start: plus(range.stop, shift)?,
        stop: plus(range.start, shift)?,
        step: negated(range.step)?,
        ..range
    })
}

fn is_negative(number: Number) -> bool {
    number.float() < 0.0
}

fn too_large() -> Raised {
    Raised::new("OverflowError", "an integer of more than 128 bits is not supported")
}

fn negated(number: Number) -> Evaluated<Number> {
    match number.whole() {
        Some(whole) => whole.checked_neg().map(Number::Int).ok_or_else(too_large),
        None => Ok(Number::Float(-number.float())),
    }
}

fn plus(a: Number, b: Number) -> Evaluated<Number> {
    match (a.whole(), b.whole()) {
        (Some(a), Some(b)) => a.checked_add(b).map(Number::Int).ok_or_else(too_large),
        _ => Ok(Number::Float(a.float() + b.float())),
    }
}
