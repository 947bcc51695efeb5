//! Indexes to damage, and the ways to damage them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use sparsely::{Config, Document, Index, Merging, Progress, SparseVector, storage::Storage};

use super::{
    model::{Model, config, upsert, vector},
    simulated::{Files, Random, Simulated},
};

/// Small, but with deletes, several segments and an older generation, in both layouts; and between
/// them with every section that a file may have.
pub(crate) fn seeds() -> Vec<(Files, Model)> {
    let build = |config: Config, commits: u32| {
        let disk = Simulated::default();
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let index = Index::with_storage(storage, config).unwrap();
        let mut writer = index.writer().unwrap();
        let mut model = Model::new();
        for commit in 0..commits {
            for at in 0..6 {
                let version = commit * 6 + at;
                upsert(&mut writer, &mut model, &format!("key {version}"), version);
            }
            writer
                .delete(format!("key {}", commit * 3).as_str())
                .unwrap();
            model.remove(&format!("key {}", commit * 3));
            writer.commit().unwrap();
        }
        drop(writer);
        (disk.files(), model)
    };
    vec![
        build(config().merging(Merging::ByCaller), 3),
        build(config().ordered_from(0), 4),
        everything(u64::MAX),
        everything(1),
    ]
}

/// Documents that have all that a document may have.
fn everything(ordered_from: u64) -> (Files, Model) {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let config = config().keep_labels().keep_weights().partition_by("even");
    let config = config.ordered_from(ordered_from).keep_lists();
    let index = Index::with_storage(storage, config.merging(Merging::ByCaller)).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for version in 0..20_u32 {
        let key = format!("dir/key {version}");
        let terms = vector(version);
        let labels = terms
            .terms()
            .iter()
            .map(|term| (*term, format!("term {term}")));
        let labels: BTreeMap<_, _> = labels.collect();
        let own = terms.terms().iter().copied().skip(1);
        let document = super::model::document(&key, version)
            .payload(vec![7; 3])
            .full_vector(vector(version + 1))
            .own_terms(own.collect::<Vec<_>>())
            .labels(labels);
        writer.upsert(document).unwrap();
        model.insert(key, version);
    }
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    for version in [3, 17] {
        let key = format!("dir/key {version}");
        writer.delete(key.as_str()).unwrap();
        model.remove(&key);
    }
    writer.commit().unwrap();
    drop(writer);
    (disk.files(), model)
}

/// One of several pieces of 64 KiB, in blocks where it has so many documents.
pub(crate) fn large(ordered_from: u64) -> Files {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, config().ordered_from(ordered_from)).unwrap();
    let mut writer = index.writer().unwrap();
    let mut random = Random(3);
    for at in 0..3000_u32 {
        let pairs = (0..40).map(|term| {
            let weight = u16::try_from(1 + random.below(300)).unwrap();
            (term * 25 + at % 25, f32::from(weight) / 100.0)
        });
        let document = Document::new(format!("key {at}"), SparseVector::new(pairs).unwrap())
            .text(format!("key {at} version {at}"))
            .field("version", at)
            .field("even", at.is_multiple_of(2))
            .full_vector(vector(at));
        writer.upsert(document).unwrap();
    }
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    drop(writer);
    disk.files()
}

/// Every change of one file that keeps its checksums wrong: each `stride`-th of every bit, of each
/// byte to six values, of all lengths; and tails, sectors of zeros, and sectors swapped.
pub(crate) fn changes(good: &[u8], stride: usize, mut visit: impl FnMut(Vec<u8>)) {
    let mut change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        if bytes != good {
            visit(bytes);
        }
    };
    for bit in (0..good.len() * 8).step_by(stride) {
        change(&|bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
    for at in (0..good.len()).step_by(stride) {
        let old = good[at];
        for value in [
            0,
            0xFF,
            0x7F,
            0x80,
            old.wrapping_add(1),
            old.wrapping_sub(1),
        ] {
            change(&|bytes| bytes[at] = value);
        }
    }
    for len in (0..good.len()).step_by(stride) {
        change(&|bytes| bytes.truncate(len));
    }
    for more in [1, 64, 512, 4096] {
        change(&|bytes| bytes.resize(good.len() + more, 0));
    }
    for start in (0..good.len()).step_by(512) {
        let end = (start + 512).min(good.len());
        change(&|bytes| bytes[start..end].fill(0));
        if end - start == 512 && start > 0 {
            change(&|bytes| {
                let (before, sector) = bytes.split_at_mut(start);
                before[..512].swap_with_slice(&mut sector[..512]);
            });
        }
    }
}

pub(crate) fn pick(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).unwrap()
}

/// What a number at `place` may be changed to, in four bytes and in eight.
pub(crate) fn lengths(bytes: &[u8], place: usize) -> Vec<Vec<u8>> {
    let len = u32::try_from(bytes.len()).unwrap();
    let old = bytes.get(place..place + 4).map_or(0, |old| {
        u32::from_le_bytes([old[0], old[1], old[2], old[3]])
    });
    let edges = [
        0,
        1,
        len - 1,
        len,
        len + 1,
        1 << 31,
        u32::MAX >> 1,
        u32::MAX,
    ];
    let near = [old.wrapping_add(1), old.wrapping_sub(1)];
    let words = edges.into_iter().chain(near);
    let mut values: Vec<Vec<u8>> = words.map(|word| word.to_le_bytes().to_vec()).collect();
    if place.is_multiple_of(8) {
        let wide = [1 << 32, 1 << 63, u64::MAX, u64::MAX - u64::from(len)];
        values.extend(wide.map(|word| word.to_le_bytes().to_vec()));
    }
    values
}

/// Puts `bytes` in the place of the file `name` as an attacker would: with its checksums right, and
/// with the manifests that name it changed to match, so that what opens it goes on to its sections.
pub(crate) fn forge(files: &Files, name: &str, mut bytes: Vec<u8>) -> Files {
    put_checksums_right(&mut bytes);
    let mut forged = files.clone();
    if let Some(footer) = bytes.last_chunk::<4>() {
        let manifests = forged
            .iter_mut()
            .filter(|(name, _)| name.starts_with("manifest-"));
        for (_, manifest) in manifests {
            let manifest: &mut Vec<u8> = Arc::make_mut(manifest);
            record(manifest, name, bytes.len(), *footer);
        }
    }
    forged.insert(name.to_owned(), Arc::new(bytes));
    forged
}

/// Has a sound manifest say that the file `name` is so long and ends in `footer`, where it names it.
fn record(manifest: &mut [u8], name: &str, len: usize, footer: [u8; 4]) {
    const SEGMENTS: u32 = 82;
    let numbers: Vec<usize> = name
        .split('-')
        .filter_map(|part| part.parse().ok())
        .collect();
    let sections = sections(manifest).into_iter();
    let (_, segments) = sections
        .into_iter()
        .find(|(id, _)| *id == SEGMENTS)
        .unwrap();
    for at in segments.step_by(48) {
        let has_deletes = number(manifest, at + 32) > 0;
        let place = match numbers[..] {
            [segment] if segment == number(manifest, at) => at + 8,
            [segment, commit]
                if segment == number(manifest, at)
                    && commit == number(manifest, at + 24)
                    && has_deletes =>
            {
                at + 32
            }
            _ => continue,
        };
        manifest[place..place + 8].copy_from_slice(&(len as u64).to_le_bytes());
        manifest[place + 8..place + 12].copy_from_slice(&footer);
    }
    put_checksums_right(manifest);
}

/// The sections of a sound file, and where they lie.
pub(crate) fn sections(file: &[u8]) -> Vec<(u32, Range<usize>)> {
    let footer = file.len() - 64;
    let table = number(file, footer);
    let count = number(file, footer + 8) & 0xFFFF_FFFF;
    let entries = file[table..table + count * 24].chunks(24);
    let section = |entry: &[u8]| {
        let id = u32::from_le_bytes(entry[..4].try_into().unwrap());
        let start = number(entry, 8);
        (id, start..start + number(entry, 16))
    };
    entries.map(section).collect()
}

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 8].try_into().unwrap();
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

/// Recomputes what can be found of a file's checksums; offsets are those of `docs/format.md`. The
/// manifest's record of the footer is not touched, so that footers are compared, too.
pub(crate) fn put_checksums_right(bytes: &mut [u8]) {
    let len = bytes.len();
    if len < 128 {
        return;
    }
    let u64_at =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let put = |bytes: &mut [u8], at: usize, crc: u32| {
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    };
    let crc = crc32fast::hash(&bytes[..60]);
    put(bytes, 60, crc);
    let footer = len - 64;
    let table = usize::try_from(u64_at(bytes, footer))
        .unwrap_or(len)
        .min(footer);
    let sections = usize::try_from(u64_at(bytes, footer + 8) & 0xFFFF_FFFF).unwrap();
    let end = (table + sections.saturating_mul(24).min(len)).min(footer);
    let crc = crc32fast::hash(&bytes[table..end]);
    put(bytes, footer + 12, crc);
    let blocks: Vec<u32> = bytes[..end]
        .chunks(64 * 1024)
        .map(crc32fast::hash)
        .collect();
    for (at, crc) in blocks.into_iter().enumerate() {
        if end + at * 4 + 4 <= footer {
            put(bytes, end + at * 4, crc);
        }
    }
    let crc = crc32fast::hash(&bytes[end..footer]);
    put(bytes, footer + 24, crc);
    let crc = crc32fast::hash(&bytes[footer..footer + 60]);
    put(bytes, footer + 60, crc);
}
