//! A random order that a seed repeats.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A seed that nobody can foresee.
pub(super) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The items in the order of a seed, or as they are without one.
pub(super) fn shuffled<T>(mut items: Vec<T>, seed: Option<u64>) -> Vec<T> {
    let Some(mut state) = seed else { return items };
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let at = usize::try_from(next(&mut state) % bound).unwrap_or(last);
        items.swap(at, last);
    }
    items
}

/// The next number of the SplitMix64 sequence (Steele, Lea and Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
