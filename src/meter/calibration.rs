//! The gains of sensors that external meters have shown: a JSON file that outlives runs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::record::SensorInfo;
use crate::record::reference::Gain;

/// File name in the user's data folder.
pub const FILE: &str = "calibrations.json";
/// Value of `metrics.calibrations` that means none.
pub const NONE: &str = "none";
/// Version of the file's form.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibrations {
    /// Version of the form.
    version: u32,
    /// One gain for each sensor of each GPU: the latest.
    pub gains: Vec<Gain>,
}

impl Calibrations {
    /// Reads the file; one that does not exist holds nothing.
    ///
    /// # Errors
    /// When it cannot be read or is not such a file.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let place = path.display().to_string();
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, gains: Vec::new() });
            }
            Err(cause) => return Err(Problem::new(place, format!("cannot be read: {cause}"))),
        };
        let hint = "set metrics.calibrations to another file, or to none";
        let read: Self = serde_json::from_slice(&text).map_err(|cause| {
            Problem::new(&place, format!("holds no calibrations: {cause}")).hint(hint)
        })?;
        if read.version > VERSION {
            let message = format!("has version {}, this program reads {VERSION}", read.version);
            return Err(Problem::new(place, message).hint(hint));
        }
        if let Some(bad) = read.gains.iter().find(|gain| !is_sound(gain)) {
            let message =
                format!("the gain of {} {} is out of range: {}", bad.uuid, bad.sensor, bad.gain);
            return Err(Problem::new(place, message).hint(hint));
        }
        Ok(read)
    }

    /// Takes a gain; an older one of the same sensor makes way.
    pub fn keep(&mut self, gain: Gain) {
        self.gains.retain(|old| old.uuid != gain.uuid || old.sensor != gain.sensor);
        self.gains.push(gain);
        self.gains.sort_by(|one, two| (&one.uuid, &one.sensor).cmp(&(&two.uuid, &two.sensor)));
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// When it cannot be written; an older one is then untouched.
    pub fn write(&self, path: &Path) -> Result<(), Problem> {
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = (|| {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::create_dir_all(parent)?;
            }
            let mut bytes = serde_json::to_vec_pretty(self)?;
            bytes.push(b'\n');
            let mut file = fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        })();
        written.map_err(|cause: std::io::Error| {
            // What was left half written is of no use; that it may not exist is no error.
            let _ = fs::remove_file(&beside);
            Problem::new(path.display().to_string(), format!("cannot be written: {cause}"))
        })
    }

    /// The gains of these sensors.
    #[must_use]
    pub fn of(&self, sensors: &[SensorInfo]) -> Vec<Gain> {
        let belongs = |gain: &&Gain| sensors.iter().any(|sensor| gain.is_of(sensor));
        self.gains.iter().filter(belongs).cloned().collect()
    }
}

/// Readings cannot be off by more: such a gain is a mistake.
fn is_sound(gain: &Gain) -> bool {
    (0.5..=2.0).contains(&gain.gain) && (0.0..=1.0).contains(&gain.bound_relative)
}

/// Where the calibrations lie: as configured, else in the user's data folder. None where there are to be none, or
/// where no home is known.
#[must_use]
pub fn path(configured: Option<&str>, var: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    match configured {
        Some(NONE) => None,
        Some(path) => Some(PathBuf::from(path)),
        None => {
            let set = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            // Without an absolute path the variable is to be ignored, says the XDG base directory specification.
            let data = set("XDG_DATA_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
            Some(data.join("ai-energy-benchmark").join(FILE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(uuid: &str, gain: f64) -> Gain {
        Gain {
            uuid: uuid.to_owned(),
            sensor: "nvml.energy_counter".to_owned(),
            gain,
            bound_relative: 0.01,
            method: "planted".to_owned(),
            measured: "2026-11-24T00:00:00Z".to_owned(),
            run_id: "r".to_owned(),
        }
    }

    #[test]
    fn the_latest_gain_of_a_sensor_is_kept_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b").join(FILE);
        let mut store = Calibrations::read(&path).unwrap();
        for (uuid, value) in [("GPU-2", 1.01), ("GPU-1", 0.99), ("GPU-2", 1.02)] {
            store.keep(gain(uuid, value));
        }
        store.write(&path).unwrap();
        let read = Calibrations::read(&path).unwrap();
        assert_eq!(read.gains, [gain("GPU-1", 0.99), gain("GPU-2", 1.02)]);
    }

    #[test]
    fn what_is_not_a_gain_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut store = Calibrations { version: VERSION, ..Calibrations::default() };
        store.keep(gain("GPU-1", 7.0));
        store.write(&path).unwrap();
        assert!(Calibrations::read(&path).unwrap_err().message.contains("out of range"));
        fs::write(&path, "[]").unwrap();
        assert!(Calibrations::read(&path).unwrap_err().message.contains("no calibrations"));
    }

    #[test]
    fn the_file_lies_in_the_data_folder_unless_one_is_named() {
        let var = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        let found = path(None, &var).unwrap();
        assert_eq!(found, Path::new("/home/u/.local/share/ai-energy-benchmark/calibrations.json"));
        assert_eq!(path(Some("x.json"), &var).unwrap(), Path::new("x.json"));
        assert_eq!(path(Some(NONE), &var), None);
        assert_eq!(path(None, &|_| None), None);
    }
}
