//! Files that are replaced whole, and tables that only ever grow.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file or its folder.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// The row.
    #[error("cannot write the row: {0}")]
    Csv(#[from] ::csv::Error),
    /// More than a thousand files kept aside.
    #[error("cannot keep the old file aside: no free name is left")]
    NoFreeName,
}

/// How lines of a table end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// `\n`.
    Lf,
    /// `\r\n`, as Python's `csv` writes.
    CrLf,
}

/// A row that was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The new name of a file that had other columns.
    pub kept_aside: Option<PathBuf>,
}

/// Writes a file whole: readers see the old one or the new one, never a part.
///
/// # Errors
/// When the folder or the file cannot be written; an older file is then untouched.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    make_parent(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let outcome = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if outcome.is_err() {
        // The error that matters is the first; a temporary file that was never made cannot be removed.
        let _ = fs::remove_file(&beside);
    }
    Ok(outcome?)
}

/// Appends a row to a table under an equal header; a file with another header is kept aside under a
/// free name (`results.1.csv`) and a new one begun.
///
/// Row and, where needed, header are one write, synced; a write that fails half way is taken back. The
/// file is locked meanwhile, so several runs may append to one table.
///
/// # Errors
/// When the file cannot be read, moved or written. What was in it is then still there.
pub fn append_row<H: AsRef<[u8]>, R: AsRef<[u8]>>(
    path: &Path,
    header: &[H],
    row: &[R],
    end: LineEnd,
) -> Result<Appended, FileError> {
    make_parent(path)?;
    let header_line = line(header, end)?;
    let row_line = line(row, end)?;
    let mut kept_aside = None;
    loop {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        lock(&file)?;
        if !is_still(&file, path)? {
            continue;
        }
        let mut text = Vec::new();
        match state(&mut file, header)? {
            State::Empty => text.extend_from_slice(&header_line),
            State::Same { ends_whole } => {
                if !ends_whole {
                    text.extend_from_slice(end.bytes());
                }
            }
            State::Other => {
                let aside = free_name(path)?;
                fs::rename(path, &aside)?;
                kept_aside = Some(aside);
                continue;
            }
        }
        text.extend_from_slice(&row_line);
        append_whole(&mut file, &text)?;
        return Ok(Appended { kept_aside });
    }
}

impl LineEnd {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// One line of CSV.
pub(super) fn line<F: AsRef<[u8]>>(fields: &[F], end: LineEnd) -> Result<Vec<u8>, ::csv::Error> {
    let terminator = match end {
        LineEnd::Lf => ::csv::Terminator::Any(b'\n'),
        LineEnd::CrLf => ::csv::Terminator::CRLF,
    };
    let mut writer = ::csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
    writer.write_record(fields)?;
    writer.into_inner().map_err(|cause| ::csv::Error::from(cause.into_error()))
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

/// Whether the open file is the one that now has the name: another process may have moved it while
/// we waited for the lock.
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(named.dev() == open.dev() && named.ino() == open.ino()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Waits for the lock. A file system that has none is used without.
fn lock(file: &File) -> io::Result<()> {
    match file.lock() {
        Err(cause) if cause.kind() != io::ErrorKind::Unsupported => Err(cause),
        _ => Ok(()),
    }
}

/// What a table holds already.
enum State {
    Empty,
    Same { ends_whole: bool },
    Other,
}

fn state<H: AsRef<[u8]>>(file: &mut File, header: &[H]) -> Result<State, FileError> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let Some(last) = text.last() else { return Ok(State::Empty) };
    let mut found = ::csv::ByteRecord::new();
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice());
    let readable = reader.read_byte_record(&mut found)?;
    let same = readable
        && found.len() == header.len()
        && found.iter().zip(header).all(|(one, two)| one == two.as_ref());
    // A row cut off inside a quoted field would swallow whatever is written after it.
    let open_quote = text.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    Ok(if same && !open_quote { State::Same { ends_whole: *last == b'\n' } } else { State::Other })
}

fn append_whole(file: &mut File, text: &[u8]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let outcome = file.write_all(text).and_then(|()| file.sync_all());
    if outcome.is_err() {
        // A full disk may have taken a part: give back what was there before.
        file.set_len(length)?;
    }
    outcome
}

/// `results.1.csv`, `results.2.csv`, ...: the first that is free.
fn free_name(path: &Path) -> Result<PathBuf, FileError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    (1..=1000)
        .map(|number| match &extension {
            Some(extension) => path.with_file_name(format!("{stem}.{number}.{extension}")),
            None => path.with_file_name(format!("{stem}.{number}")),
        })
        .find(|candidate| fs::symlink_metadata(candidate).is_err())
        .ok_or(FileError::NoFreeName)
}
