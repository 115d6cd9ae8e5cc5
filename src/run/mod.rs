//! The only room that sleeps, spawns and handles signals: executes a plan, writes records as they happen.
