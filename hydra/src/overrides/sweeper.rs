//! Hydra's basic sweeper: the cartesian product of all values, in batches.

use indexmap::IndexMap;

use super::Override;
use super::sweep::{GroupOptions, too_many};
use crate::error::{Error, ErrorKind, Errors};
use crate::limits::MAX_JOBS;
use crate::source::Origin;

/// Makes the jobs of a sweep.
#[derive(Debug, Clone, Copy, Default)]
pub struct BasicSweeper;

/// The overrides of one job, in the form in which Hydra writes them.
type Job = Vec<String>;

impl BasicSweeper {
    /// Splits a sweep into batches of jobs.
    ///
    /// `params` are the entries of `hydra.sweeper.params`; they come before the overrides, and a key
    /// that comes twice has its first place and its last value. The first key varies slowest.
    ///
    /// # Errors
    /// All overrides that are malformed, or whose values cannot be named one by one; a batch size
    /// that is no positive number; more jobs than a sweep can have.
    pub fn split(
        params: &[(String, String)],
        overrides: &[String],
        max_batch_size: Option<i64>,
        groups: &dyn GroupOptions,
    ) -> Result<Vec<Vec<Job>>, Errors> {
        let params = params.iter().map(|(key, value)| format!("{key}={value}"));
        let texts: Vec<String> = params.chain(overrides.iter().cloned()).collect();
        let jobs = product(&columns(&texts, groups)?)?;
        let Some(size) = max_batch_size else { return Ok(vec![jobs]) };
        match usize::try_from(size) {
            Ok(size) if size > 0 => Ok(jobs.chunks(size).map(<[Job]>::to_vec).collect()),
            _ => {
                let message = format!("hydra.sweeper.max_batch_size is {size}, not positive");
                Err(Error::new(ErrorKind::SweepValue(message), Origin::memory()).into())
            }
        }
    }
}

/// The overrides of each key: one for a fixed value, one a value for a sweep.
fn columns(texts: &[String], groups: &dyn GroupOptions) -> Result<Vec<Vec<String>>, Errors> {
    let (parsed, mut errors) = parse_all(texts);
    let mut columns: IndexMap<String, Vec<String>> = IndexMap::new();
    for change in &parsed {
        let key = change.key_element();
        match change.sweep_values(groups) {
            Ok(values) => {
                let texts = values.into_iter().map(|value| format!("{key}={value}")).collect();
                columns.insert(key, texts);
            }
            Err(error) => errors.push(error),
        }
    }
    Errors::check(errors)?;
    Ok(columns.into_values().collect())
}

fn parse_all(texts: &[String]) -> (Vec<Override>, Vec<Error>) {
    let mut parsed = Vec::new();
    let mut errors = Vec::new();
    for text in texts {
        match Override::parse(text) {
            Ok(change) => parsed.push(change),
            Err(error) => errors.push(error),
        }
    }
    (parsed, errors)
}

/// Every combination, the first column varying slowest.
fn product(columns: &[Vec<String>]) -> Result<Vec<Job>, Errors> {
    let count = columns.iter().try_fold(1_usize, |count, column| {
        count.checked_mul(column.len()).filter(|count| *count <= MAX_JOBS)
    });
    if columns.iter().any(Vec::is_empty) {
        return Ok(Vec::new());
    }
    if count.is_none() {
        return Err(Error::new(too_many(), Origin::memory()).into());
    }
    let mut jobs: Vec<Job> = vec![Vec::new()];
    for column in columns {
        jobs = jobs
            .iter()
            .flat_map(|job| {
                column.iter().map(|text| job.iter().chain([text]).cloned().collect::<Job>())
            })
            .collect();
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoGroups;

    fn split(params: &[(&str, &str)], overrides: &[&str], size: Option<i64>) -> Vec<Vec<String>> {
        let params: Vec<_> =
            params.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        let batches = BasicSweeper::split(&params, &overrides, size, &NoGroups).unwrap();
        batches
            .into_iter()
            .map(|batch| batch.into_iter().map(|job| job.join(" ")).collect())
            .collect()
    }

    #[test]
    fn the_first_key_varies_slowest_and_params_come_first() {
        let jobs = split(&[("a", "1,2"), ("b", "x")], &["c=true,y", "b=7"], None);
        assert_eq!(jobs, [["a=1 b=7 c=True", "a=1 b=7 c=y", "a=2 b=7 c=True", "a=2 b=7 c=y"]]);
    }

    #[test]
    fn batches_are_cut_in_order() {
        assert_eq!(split(&[], &["a=range(3)"], Some(2)), [vec!["a=0", "a=1"], vec!["a=2"]]);
        assert_eq!(split(&[], &["a=range(0)"], None), [[""; 0]]);
        assert!(split(&[], &["a=range(0)"], Some(2)).is_empty());
        assert_eq!(split(&[], &[], None), [[""]]);
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let overrides = ["a=[".to_owned(), "b=interval(0,1)".to_owned(), "c=1".to_owned()];
        let errors = BasicSweeper::split(&[], &overrides, None, &NoGroups).unwrap_err();
        assert_eq!(errors.iter().count(), 2);
        assert!(BasicSweeper::split(&[], &[], Some(0), &NoGroups).is_err());
    }

    #[test]
    fn more_jobs_than_fit_are_an_error_and_take_no_memory() {
        let overrides: Vec<String> =
            (0..40).map(|index| format!("k{index}=range(0,1000)")).collect();
        let errors = BasicSweeper::split(&[], &overrides, None, &NoGroups).unwrap_err();
        assert!(errors.to_string().contains("at most"), "{errors}");
    }
}
