//! Which GPUs a config means.

use ai_energy_benchmarks::meter::select::{Selection, Wanted, select};
use ai_energy_benchmarks::record::DeviceRef;
use proptest::prelude::*;

const UUIDS: [&str; 4] = ["GPU-4f1c-aa", "GPU-4f2d-bb", "GPU-9e00-cc", "GPU-0123-dd"];

fn gpus(names: &[&str]) -> Vec<DeviceRef> {
    let gpu = |(index, name): (usize, &&str)| DeviceRef {
        index: u32::try_from(index).unwrap(),
        uuid: UUIDS[index].to_owned(),
        name: (*name).to_owned(),
    };
    names.iter().enumerate().map(gpu).collect()
}

fn four() -> Vec<DeviceRef> {
    gpus(&["NVIDIA H100"; 4])
}

fn pick(gpus: &[DeviceRef], ids: &[&str], visible: Option<&str>, order: Option<&str>) -> Selection {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    select(gpus, Wanted { device_ids: Some(&ids), visible, order, skip_missing: false })
}

fn chosen(ids: &[&str], visible: Option<&str>) -> Vec<usize> {
    let selection = pick(&four(), ids, visible, None);
    assert_eq!(selection.problems, [], "{ids:?} {visible:?}");
    selection.chosen
}

fn problem(ids: &[&str], visible: Option<&str>) -> String {
    let selection = pick(&four(), ids, visible, None);
    assert!(!selection.problems.is_empty(), "{ids:?} {visible:?}");
    selection.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_asked_means_all_that_cuda_shows() {
    assert_eq!(chosen(&[], None), [0, 1, 2, 3]);
    assert_eq!(chosen(&[], Some("2,0")), [0, 2]);
    assert_eq!(chosen(&[], Some("")), [0; 0]);
    assert_eq!(chosen(&[], Some("-1")), [0; 0]);
    assert_eq!(chosen(&[], Some("1,-1,2")), [1]);
}

#[test]
fn an_index_counts_what_cuda_shows_in_its_order() {
    assert_eq!(chosen(&["0"], None), [0]);
    assert_eq!(chosen(&["0"], Some("2,3")), [2]);
    assert_eq!(chosen(&["1"], Some("GPU-9e00-cc,GPU-4f1c")), [0]);
    assert_eq!(chosen(&["1", "0", "1"], None), [0, 1]);
}

#[test]
fn a_uuid_or_its_beginning_means_one_gpu() {
    assert_eq!(chosen(&["GPU-9e00-cc"], None), [2]);
    assert_eq!(chosen(&["GPU-9"], None), [2]);
    assert_eq!(chosen(&["gpu-4F2"], None), [1]);
    assert_eq!(chosen(&["4f1"], None), [0]);
}

#[test]
fn a_gpu_that_does_not_exist_is_a_problem_that_lists_those_that_do() {
    for (ids, visible, message) in [
        (["7"], None, "there is no GPU 7: this machine has 4"),
        (["1"], Some("3"), "CUDA_VISIBLE_DEVICES shows 1"),
        (["GPU-ffff"], None, "no GPU has a UUID that begins with"),
        (["GPU-4f"], None, "begins the UUIDs of 2 GPUs"),
        (["cuda:0"], None, "neither an index nor a GPU UUID"),
        (["-1"], None, "neither an index nor a GPU UUID"),
        ([""], None, "neither an index nor a GPU UUID"),
    ] {
        let text = problem(&ids, visible);
        assert!(text.contains(message), "{text}");
        assert!(UUIDS.iter().all(|uuid| text.contains(uuid)), "{text}");
    }
}

#[test]
fn a_slice_cannot_be_told_apart() {
    assert!(problem(&["MIG-4f1c"], None).contains("cannot be told apart"));
    assert!(problem(&[], Some("MIG-4f1c")).contains("CUDA_VISIBLE_DEVICES"));
}

#[test]
fn a_uuid_that_cuda_hides_is_metered_with_a_warning() {
    let selection = pick(&four(), &["GPU-9e"], Some("0"), None);
    assert_eq!((selection.chosen.as_slice(), selection.problems.len()), (&[2][..], 0));
    assert_eq!(selection.warnings[0].code, "selected_gpu_hidden");
}

#[test]
fn an_unknown_entry_ends_the_list_as_in_cuda_and_is_told() {
    let selection = pick(&four(), &[], Some("1,9,2"), None);
    assert_eq!(selection.chosen, [1]);
    assert_eq!(selection.warnings[0].code, "cuda_visible_devices_cut");
}

#[test]
fn an_index_among_unlike_gpus_is_ambiguous_unless_the_order_is_set() {
    let unlike = gpus(&["NVIDIA L4", "NVIDIA H100"]);
    let ambiguous = pick(&unlike, &["0"], None, None);
    let text = ambiguous.problems[0].to_string();
    assert!(
        text.contains("may mean another GPU") && text.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"),
        "{text}"
    );
    assert_eq!(pick(&unlike, &["0"], None, Some("FASTEST_FIRST")).problems.len(), 1);
    assert_eq!(pick(&unlike, &[], Some("1"), None).problems.len(), 1);
    for fine in [
        pick(&unlike, &["0"], None, Some("PCI_BUS_ID")),
        pick(&unlike, &["0", "1"], None, None),
        pick(&unlike, &["GPU-4f2"], None, None),
        pick(&unlike, &[], None, None),
    ] {
        assert_eq!(fine.problems, []);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_chosen_exists_once(
        ids in prop::collection::vec("[-a-zA-Z0-9: ]{0,8}|[0-9]{1,2}|GPU-[0-9a-f]{0,3}", 0..5),
        visible in prop::option::of("[-0-9,a-fGPUMI ]{0,12}"),
    ) {
        let selection = select(
            &four(),
            Wanted { device_ids: Some(&ids), visible: visible.as_deref(), order: None, skip_missing: false },
        );
        prop_assert!(selection.chosen.is_sorted_by(|a, b| a < b));
        prop_assert!(selection.chosen.iter().all(|position| *position < 4));
        if selection.problems.is_empty() && visible.is_none() {
            prop_assert!(!selection.chosen.is_empty());
        }
    }

    #[test]
    fn an_index_under_a_list_of_indices_is_that_entry(
        shown in prop::sample::subsequence(vec![0_usize, 1, 2, 3], 1..=4).prop_shuffle(), at in 0_usize..4
    ) {
        let visible = shown.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let selection = pick(&four(), &[&at.to_string()], Some(&visible), None);
        match shown.get(at) {
            Some(expected) => prop_assert_eq!(selection.chosen, vec![*expected]),
            None => prop_assert_eq!(selection.problems.len(), 1),
        }
    }
}

#[test]
fn indices_beyond_the_last_gpu_are_left_out_only_where_that_was_asked_for() {
    let gpus: Vec<DeviceRef> = (0..2)
        .map(|index| DeviceRef {
            index,
            uuid: format!("GPU-{index}1111111-0000-0000-0000-000000000000"),
            name: "NVIDIA H100".to_owned(),
        })
        .collect();
    let pick = |ids: &[&str], skip_missing| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        select(&gpus, Wanted { device_ids: Some(&ids), skip_missing, ..Wanted::default() })
    };
    let lenient = pick(&["0", "1", "2", "7"], true);
    assert_eq!(
        (lenient.chosen, lenient.problems.len(), lenient.warnings.len()),
        (vec![0, 1], 0, 2)
    );
    assert_eq!(pick(&["5"], true).chosen, [0]);
    assert_eq!(pick(&["0", "7"], false).problems.len(), 1);
}
