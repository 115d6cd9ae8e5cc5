//! Findings become files.
