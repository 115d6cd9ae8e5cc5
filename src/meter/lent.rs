//! What `run` lends to meters: threads and programs that go on beside the call that opened them.

use std::any::Any;

use crate::units::{Nanos, Seconds};

use super::MeterError;

/// A thread or a program at work for a meter. It ends when this is dropped.
pub type Running = Box<dyn Any + Send>;

/// What a program that was started wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// One line of standard output, without its end.
    Line(String),
    /// It has ended, or its output has: how, and what it last wrote on standard error.
    Ended(String),
}

/// Who starts threads and programs for meters.
pub trait Lender: Send + Sync + std::fmt::Debug {
    /// Calls a job every so often on a thread of its own, the first time at once, until what is returned is dropped.
    fn every(&self, name: &str, period: Seconds, job: Box<dyn FnMut() + Send>) -> Running;

    /// Starts a program; each line that it writes is handed over with the moment at which it had come.
    ///
    /// # Errors
    /// When it does not start.
    fn start(
        &self,
        command: &[String],
        told: Box<dyn FnMut(Nanos, Told) + Send>,
    ) -> Result<Running, MeterError>;
}
