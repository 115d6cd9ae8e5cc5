//! What the names of data files tell of their split.

use std::collections::{BTreeMap, BTreeSet};

use super::LayoutError;

/// Splits with the words that stand for them.
const WORDS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// The files of a split, in the order given. Files none of which names a split are the train split.
pub(super) fn split<'a>(files: &[&'a str], split: &str) -> Result<Vec<&'a str>, LayoutError> {
    let wanted = canonical(split).unwrap_or(split);
    let chosen: Vec<&str> = files
        .iter()
        .copied()
        .filter(|file| {
            label(file) == Some(wanted) || stem(file) == split || folders(file).any(|f| f == split)
        })
        .collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let mut found: Vec<String> =
        files.iter().filter_map(|file| label(file)).map(str::to_owned).collect();
    if found.is_empty() && wanted == "train" {
        return Ok(files.to_vec());
    }
    found.sort_unstable();
    found.dedup();
    Err(LayoutError::NoSplit { split: split.to_owned(), found })
}

/// The split that a file belongs to, as far as its name tells.
fn label(file: &str) -> Option<&str> {
    if let Some(shard) = shard(stem(file)) {
        return Some(canonical(shard.label).unwrap_or(shard.label));
    }
    let words = stem(file).split(|c: char| !c.is_ascii_alphabetic());
    std::iter::once(stem(file)).chain(folders(file)).chain(words).find_map(canonical)
}

fn canonical(word: &str) -> Option<&'static str> {
    let lower = word.to_lowercase();
    WORDS.iter().find(|(_, words)| words.contains(&lower.as_str())).map(|(split, _)| *split)
}

/// The folders of a path, outermost first.
pub(super) fn folders(file: &str) -> impl Iterator<Item = &str> {
    file.rsplit_once('/').into_iter().flat_map(|(folders, _)| folders.split('/'))
}

fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

/// `<label>-<index>-of-<count>`, five digits each.
struct Shard<'a> {
    label: &'a str,
    index: u32,
    count: u32,
}

fn shard(stem: &str) -> Option<Shard<'_>> {
    let (front, back) = stem.split_once("-of-")?;
    let (label, index) = front.rsplit_once('-')?;
    if label.is_empty() || index.len() != 5 {
        return None;
    }
    Some(Shard { label, index: five_digits(index)?, count: five_digits(back)? })
}

/// The number in the first five characters, all digits.
fn five_digits(text: &str) -> Option<u32> {
    text.get(..5).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Shards that the names of the others say must exist. A hash after the count, which differs from shard
/// to shard, is not guessed.
pub(in crate::dataset) fn missing_shards(files: &[String]) -> Vec<String> {
    let mut sets: BTreeMap<(&str, &str, u32), BTreeSet<u32>> = BTreeMap::new();
    for file in files {
        let start = file.rfind('/').map_or(0, |slash| slash + 1);
        if let Some(shard) = shard(stem(file)) {
            let base = &file[..start + shard.label.len()];
            let extension = file[start..].split_once('.').map_or("", |(_, extension)| extension);
            sets.entry((base, extension, shard.count)).or_default().insert(shard.index);
        }
    }
    let missing = sets.iter().flat_map(|((base, extension, count), there)| {
        (0..*count)
            .filter(|index| !there.contains(index))
            .map(move |index| format!("{base}-{index:05}-of-{count:05}.{extension}"))
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn shards_that_are_not_there_are_named() {
        let files = owned(&["data/train-00001-of-00003.parquet", "test-00000-of-00001.parquet"]);
        assert_eq!(
            missing_shards(&files),
            ["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"]
        );
        assert!(missing_shards(&owned(&["train.parquet", "a-of-b.csv"])).is_empty());
        let hashed = ["t-00000-of-00002-ab.parquet", "t-00001-of-00002-cd.parquet"];
        assert!(missing_shards(&owned(&hashed)).is_empty());
    }

    #[test]
    fn a_word_inside_another_is_no_split() {
        assert_eq!(label("contest.csv"), None);
        assert_eq!(label("trainers.csv"), None);
        assert_eq!(label("my_val_2.csv"), Some("validation"));
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,40}", shard in "[a-z/-]{0,9}-of-/?x-[0-9é]{4,6}-of-000[0-9]{0,2}.{0,3}") {
            let files = vec![name, shard];
            let _ = split(&[&files[0], &files[1]], "train");
            let _ = missing_shards(&files);
        }
    }
}
