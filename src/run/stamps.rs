//! Moments, kept small: a run may hold those of every token of thousands of streams.

use crate::units::Nanos;

/// Moments in order. Each is kept as its distance from the one before, in groups of seven bits: one byte for
/// events of the same read, four for gaps from 2 to 268 ms.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    gaps: Vec<u8>,
    count: usize,
    first: Nanos,
    last: Nanos,
}

const MORE: u8 = 0x80;

impl Stamps {
    /// Adds a moment that is not before the last.
    pub(super) fn push(&mut self, at: Nanos) {
        if self.count == 0 {
            (self.first, self.last) = (at, at);
        }
        let mut gap = at.0.saturating_sub(self.last.0);
        while gap >= u64::from(MORE) {
            self.gaps.push((gap & 0x7F) as u8 | MORE);
            gap >>= 7;
        }
        self.gaps.push(gap as u8);
        self.last = self.last.max(at);
        self.count += 1;
    }

    pub(super) fn first(&self) -> Option<Nanos> {
        (self.count > 0).then_some(self.first)
    }

    pub(super) fn last(&self) -> Option<Nanos> {
        (self.count > 0).then_some(self.last)
    }

    /// Each in ns after `origin`; 0 for one before it.
    pub(super) fn after(&self, origin: Nanos) -> Vec<u64> {
        let mut offsets = Vec::with_capacity(self.count);
        let (mut at, mut gap, mut shift) = (self.first.0, 0, 0);
        for byte in &self.gaps {
            gap |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & MORE == 0 {
                at += gap;
                offsets.push(at.saturating_sub(origin.0));
                (gap, shift) = (0, 0);
            }
        }
        offsets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_gaps_take_four_bytes_and_none_at_all_one() {
        let mut stamps = Stamps::default();
        assert_eq!((stamps.first(), stamps.last()), (None, None));
        for token in 0..100 {
            stamps.push(Nanos(7_000_000_000 + token * 20_000_000));
            stamps.push(Nanos(7_000_000_000 + token * 20_000_000));
        }
        assert_eq!(stamps.gaps.len(), 2 + 99 * 5);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(first in 0_u64..1 << 62, gaps in proptest::collection::vec(
            prop_oneof![Just(0), 0_u64..300, 0_u64..1 << 40], 1..50,
        )) {
            let mut at = first;
            let moments: Vec<u64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let mut stamps = Stamps::default();
            moments.iter().for_each(|at| stamps.push(Nanos(*at)));
            prop_assert_eq!(stamps.after(Nanos(0)), moments.clone());
            prop_assert_eq!(stamps.first(), moments.first().copied().map(Nanos));
            prop_assert_eq!(stamps.last(), moments.last().copied().map(Nanos));
            let origin = moments[0];
            let offsets: Vec<u64> = moments.iter().map(|at| at - origin).collect();
            prop_assert_eq!(stamps.after(Nanos(origin)), offsets);
        }
    }
}
