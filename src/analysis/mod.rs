//! Records become findings. Pure: no clock, no files, no network.
