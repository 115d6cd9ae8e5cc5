//! How many threads candle computes with.
//!
//! candle keeps its own pools and reads their size from the environment once, at the first operation.
//! An unset variable means the machine's physical cores, also where a container or an affinity mask
//! allows fewer, and spinning threads without a core are ruinous. So the process that wants another
//! number has to start with it: [`environment`] says which variables to set before starting (or
//! starting anew), and the engine refuses to load under another number than the one asked for.

/// The variable that sizes rayon's and candle's pools.
pub const VARIABLE: &str = "RAYON_NUM_THREADS";
/// candle's own variable; it sizes the pool of the quantized kernels and wins over [`VARIABLE`] there.
pub const CANDLE_VARIABLE: &str = "CANDLE_NUM_THREADS";

/// Threads in force in this process.
#[must_use]
pub fn in_force() -> usize {
    from_variable(std::env::var(CANDLE_VARIABLE).ok().as_deref())
        .unwrap_or_else(candle_core::utils::get_num_threads)
}

/// Threads to use where nothing is asked for: physical cores, but no more than this process may use.
#[must_use]
pub fn suggested() -> usize {
    let physical = candle_core::utils::get_num_threads();
    let allowed = std::thread::available_parallelism().map_or(physical, usize::from);
    physical.min(allowed)
}

/// Variables that a process needs at its start to compute with `threads` (or [`suggested`]) threads;
/// empty when this process already does.
#[must_use]
pub fn environment(threads: Option<usize>) -> Vec<(&'static str, String)> {
    let wanted = threads.unwrap_or_else(|| {
        // Whoever set the variable has decided.
        if std::env::var_os(VARIABLE).is_some() || std::env::var_os(CANDLE_VARIABLE).is_some() {
            in_force()
        } else {
            suggested()
        }
    });
    if wanted == in_force() && wanted == candle_core::utils::get_num_threads() {
        return Vec::new();
    }
    vec![(VARIABLE, wanted.to_string()), (CANDLE_VARIABLE, wanted.to_string())]
}

/// candle ignores a variable that is no positive number; so do we.
fn from_variable(value: Option<&str>) -> Option<usize> {
    value.and_then(|value| value.parse().ok()).filter(|&threads| threads > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_both_variables_when_another_count_is_wanted() {
        let wanted = in_force() + 1;
        let expected = vec![(VARIABLE, wanted.to_string()), (CANDLE_VARIABLE, wanted.to_string())];
        assert_eq!(environment(Some(wanted)), expected);
    }

    #[test]
    fn a_variable_that_is_no_positive_number_does_not_count() {
        assert_eq!(from_variable(Some("3")), Some(3));
        for bad in [None, Some("0"), Some("-1"), Some("many")] {
            assert_eq!(from_variable(bad), None);
        }
    }
}
