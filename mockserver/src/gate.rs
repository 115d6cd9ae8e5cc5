//! Places: so many requests are served at a time, the others wait in the order in which they came.

use std::collections::VecDeque;

/// Who waits: a thread's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub worker: usize,
    pub slot: usize,
    pub generation: u64,
}

/// The places and the queue in front of them.
#[derive(Debug)]
pub(crate) struct Gate {
    free: usize,
    waiting: VecDeque<Ticket>,
}

impl Gate {
    pub(crate) const fn new(places: usize) -> Self {
        Self { free: places, waiting: VecDeque::new() }
    }

    /// Takes a place, or waits with this ticket.
    pub(crate) fn enter(&mut self, ticket: Ticket) -> bool {
        if self.free > 0 {
            self.free -= 1;
            true
        } else {
            self.waiting.push_back(ticket);
            false
        }
    }

    /// Gives a place back, at once to the one that waits longest: it holds the place from now on, and if it is gone its
    /// thread gives it back too.
    pub(crate) fn leave(&mut self) -> Option<Ticket> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.free += 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_those_who_wait_in_their_order() {
        let ticket = |slot| Ticket { worker: 0, slot, generation: 0 };
        let mut gate = Gate::new(2);
        let entered: Vec<bool> = (0..5).map(|slot| gate.enter(ticket(slot))).collect();
        assert_eq!(entered, [true, true, false, false, false]);
        assert_eq!(gate.leave(), Some(ticket(2)));
        assert!(!gate.enter(ticket(9)), "nobody overtakes");
        assert_eq!(gate.leave(), Some(ticket(3)));
        assert_eq!(gate.leave(), Some(ticket(4)));
        assert_eq!(gate.leave(), Some(ticket(9)));
        assert_eq!((gate.leave(), gate.leave()), (None, None));
        assert!(gate.enter(ticket(1)) && gate.enter(ticket(1)));
    }
}
