//! Random numbers that depend on what they are drawn for and on nothing else.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Steps after which few set bits in the seed no longer show.
const SETTLE: u32 = 16;

/// A source of random numbers for a seed and three numbers that say what is drawn.
pub(super) fn random(seed: u64, what: [u64; 3]) -> Xoshiro256PlusPlus {
    // Neighbouring seeds must not give neighbouring numbers: seeding mixes all 256 bits.
    let mut bytes = [0; 32];
    let [first, second, third] = what;
    for (part, value) in bytes.chunks_exact_mut(8).zip([seed, first, second, third]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    let mut random = Xoshiro256PlusPlus::from_seed(bytes);
    for _ in 0..SETTLE {
        random.next_u64();
    }
    random
}
