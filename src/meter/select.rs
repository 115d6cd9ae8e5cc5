//! Which GPUs a config means.
//!
//! An index counts the GPUs that CUDA shows, in CUDA's order, because that is what the program under test
//! goes by; NVML's order is another. A UUID (or the beginning of one) means the same GPU everywhere.
//! Where an index could mean two GPUs the answer is a problem, not a guess. Pure: no GPU is touched here.

use crate::error::Problem;
use crate::record::{DeviceRef, Warning};

/// Place of every problem with the config's own selection.
const DEVICE_IDS: &str = "backend.device_ids";
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
const ORDER: &str = "CUDA_DEVICE_ORDER";
const GPU_PREFIX: &str = "gpu-";
const MIG_PREFIX: &str = "mig-";

/// What was asked, and the environment that indices depend on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Indices, UUIDs, UUID prefixes; `None` or nothing means all visible ones.
    pub device_ids: Option<&'a [String]>,
    /// `CUDA_VISIBLE_DEVICES`, if set.
    pub visible: Option<&'a str>,
    /// `CUDA_DEVICE_ORDER`, if set.
    pub order: Option<&'a str>,
    /// Indices beyond the last GPU are left out with a caution, instead of being a problem.
    pub skip_missing: bool,
}

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Positions in the list of GPUs, ascending, each once.
    pub chosen: Vec<usize>,
    /// What does not exist or cannot be told.
    pub problems: Vec<Problem>,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
}

/// How one text of a list names a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'a> {
    Index(usize),
    Uuid(&'a str),
    Mig,
    Unreadable,
}

/// The GPUs (all of the machine, in NVML's order) that were asked for.
#[must_use]
pub fn select(gpus: &[DeviceRef], wanted: Wanted<'_>) -> Selection {
    let mut result = Selection::default();
    let (visible, mut index_used) = visible_gpus(gpus, wanted.visible, &mut result);
    let ids = wanted.device_ids.filter(|ids| !ids.is_empty());
    let mut chosen: Vec<usize> = match ids {
        None => visible,
        Some(ids) => {
            let named = ids.iter().filter_map(|id| {
                index_used |= matches!(name_of(id), Name::Index(_));
                let missing = matches!(name_of(id), Name::Index(at) if at >= visible.len());
                if wanted.skip_missing && missing && !visible.is_empty() {
                    result.warnings.push(left_out(id));
                    return None;
                }
                pick(gpus, &visible, id, &mut result)
            });
            let named: Vec<usize> = named.collect();
            // As AIEnergyScore's wrapper has it: where none is left, the first one.
            let none = named.is_empty() && result.problems.is_empty();
            if none && wanted.skip_missing {
                visible.first().copied().into_iter().collect()
            } else {
                named
            }
        }
    };
    chosen.sort_unstable();
    chosen.dedup();
    if index_used && chosen.len() < gpus.len() {
        check_order(gpus, wanted, &mut result);
    }
    result.chosen = chosen;
    result
}

fn name_of(text: &str) -> Name<'_> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if let Ok(index) = text.parse::<usize>() {
        return Name::Index(index);
    }
    if lower.starts_with(MIG_PREFIX) {
        return Name::Mig;
    }
    let digits = lower.strip_prefix(GPU_PREFIX).unwrap_or(&lower);
    let is_uuid = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if is_uuid && !digits.starts_with('-') { Name::Uuid(text) } else { Name::Unreadable }
}

/// Positions whose UUID begins so, with or without `GPU-`, in any case.
fn with_uuid(gpus: &[DeviceRef], beginning: &str) -> Vec<usize> {
    let strip = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower.strip_prefix(GPU_PREFIX).map_or(lower.clone(), str::to_owned)
    };
    let beginning = strip(beginning);
    let fits = |gpu: &DeviceRef| strip(&gpu.uuid).starts_with(&beginning);
    gpus.iter().enumerate().filter(|(_, gpu)| fits(gpu)).map(|(position, _)| position).collect()
}

/// The GPUs that CUDA shows, in its order, and whether an index was needed to tell.
///
/// As CUDA does it: the list ends at the first entry that names nothing, so `-1` hides everything after.
fn visible_gpus(
    gpus: &[DeviceRef],
    visible: Option<&str>,
    result: &mut Selection,
) -> (Vec<usize>, bool) {
    let Some(text) = visible else {
        return ((0..gpus.len()).collect(), false);
    };
    let mut shown = Vec::new();
    let mut index_used = false;
    for entry in text.split(',').map(str::trim) {
        let found = match name_of(entry) {
            Name::Index(index) => {
                index_used = true;
                (index < gpus.len()).then_some(index)
            }
            Name::Uuid(uuid) => match with_uuid(gpus, uuid)[..] {
                [only] => Some(only),
                _ => None,
            },
            Name::Mig => {
                result.problems.push(mig_problem(VISIBLE, entry));
                None
            }
            Name::Unreadable => None,
        };
        let Some(position) = found else {
            if !matches!(entry, "" | "-1" | "NoDevFiles") {
                result.warnings.push(hides_the_rest(entry));
            }
            break;
        };
        if !shown.contains(&position) {
            shown.push(position);
        }
    }
    (shown, index_used)
}

fn hides_the_rest(entry: &str) -> Warning {
    Warning::new(
        "cuda_visible_devices_cut",
        format!(
            "{VISIBLE} names {entry:?}, which is no single GPU of this machine: CUDA ignores it and all after it"
        ),
    )
}

fn pick(gpus: &[DeviceRef], visible: &[usize], id: &str, result: &mut Selection) -> Option<usize> {
    match name_of(id) {
        Name::Index(index) => {
            if let Some(position) = visible.get(index) {
                return Some(*position);
            }
            result.problems.push(no_such_index(gpus, visible, index));
        }
        Name::Uuid(uuid) => match with_uuid(gpus, uuid)[..] {
            [position] => {
                if !visible.contains(&position) {
                    result.warnings.push(selected_but_hidden(&gpus[position]));
                }
                return Some(position);
            }
            [] => result.problems.push(
                Problem::new(DEVICE_IDS, format!("no GPU has a UUID that begins with {id:?}"))
                    .hint(listing(gpus)),
            ),
            ref several => result.problems.push(
                Problem::new(
                    DEVICE_IDS,
                    format!("{id:?} begins the UUIDs of {} GPUs", several.len()),
                )
                .hint(format!("give more of it; {}", listing(gpus))),
            ),
        },
        Name::Mig => result.problems.push(mig_problem(DEVICE_IDS, id)),
        Name::Unreadable => result.problems.push(
            Problem::new(DEVICE_IDS, format!("{id:?} is neither an index nor a GPU UUID"))
                .hint(listing(gpus)),
        ),
    }
    None
}

fn left_out(id: &str) -> Warning {
    Warning::new(
        "missing_gpu_left_out",
        format!("{DEVICE_IDS} names GPU {id}, which is not here: it is left out"),
    )
}

fn no_such_index(gpus: &[DeviceRef], visible: &[usize], index: usize) -> Problem {
    let hidden = visible.len() < gpus.len();
    let count = visible.len();
    let message = if hidden {
        format!("there is no GPU {index}: {VISIBLE} shows {count} and indices count those, from 0")
    } else {
        format!("there is no GPU {index}: this machine has {count}, counted from 0")
    };
    Problem::new(DEVICE_IDS, message).hint(listing(gpus))
}

fn selected_but_hidden(gpu: &DeviceRef) -> Warning {
    Warning::new(
        "selected_gpu_hidden",
        format!(
            "{} is metered because the config names it, though {VISIBLE} hides it from this process",
            gpu.uuid
        ),
    )
}

fn mig_problem(place: &str, id: &str) -> Problem {
    Problem::new(
        place,
        format!("{id:?} is a slice of a GPU (MIG), and a GPU's energy cannot be told apart by slice"),
    )
    .hint("select the whole GPU by its UUID: its energy then includes every slice and all that ran there")
}

/// CUDA's default order puts the fastest GPU first; NVML's is by PCI bus. With GPUs of one model the two
/// agree; with unlike ones only `CUDA_DEVICE_ORDER=PCI_BUS_ID` makes an index mean one thing.
fn check_order(gpus: &[DeviceRef], wanted: Wanted<'_>, result: &mut Selection) {
    let by_bus = wanted.order.is_some_and(|order| order.trim() == "PCI_BUS_ID");
    let alike = gpus.windows(2).all(|pair| pair[0].name == pair[1].name);
    if by_bus || alike {
        return;
    }
    let place = if wanted.device_ids.is_some() { DEVICE_IDS } else { VISIBLE };
    result.problems.push(
        Problem::new(
            place,
            "the GPUs of this machine are unlike, so an index may mean another GPU to CUDA (fastest first) than to NVML (PCI order)",
        )
        .hint(format!(
            "name GPUs by UUID, or set {ORDER}=PCI_BUS_ID here and for the program under test; {}",
            listing(gpus)
        )),
    );
}

/// One sentence that names every GPU.
#[must_use]
pub fn listing(gpus: &[DeviceRef]) -> String {
    if gpus.is_empty() {
        return "this machine has no GPU that NVML shows".to_owned();
    }
    let lines: Vec<String> =
        gpus.iter().map(|gpu| format!("{} = {} ({})", gpu.index, gpu.uuid, gpu.name)).collect();
    format!("GPUs here: {}", lines.join(", "))
}
