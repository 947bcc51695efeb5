//! The manifest: one per commit, naming the segments that are alive. Sections 80 to 83 of
//! `docs/format.md`.
//!
//! [`Manifest::read`] verifies the whole file, so a manifest that was read is the one that was
//! written; what it says of other files is for the caller to compare.

use super::{
    Calibration, FileIdentity, FileKind, FileName, FileView, FileWriter, IndexId, SectionId,
    calibration::CALIBRATION,
};
use crate::{
    error::Result,
    id::{CommitId, NUMBER_END, SegmentId},
    storage::{FileBytes, WriteFile},
};

const CONFIGURATION: SectionId = SectionId::required(80, "configuration");
const COMMIT: SectionId = SectionId::required(81, "commit");
const SEGMENTS: SectionId = SectionId::required(82, "segments");

const KEEPS_STATISTICS: u32 = 1;
const KEEPS_LABELS: u32 = 2;
const NAMES_ENCODER: u32 = 4;
const KEEPS_WEIGHTS: u32 = 8;
const NAMES_PARTITION: u32 = 16;
const FLAGS: u32 =
    KEEPS_STATISTICS | KEEPS_LABELS | NAMES_ENCODER | KEEPS_WEIGHTS | NAMES_PARTITION;

const SEGMENT_RECORD_LEN: usize = 48;

/// What a commit says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) index: IndexId,
    pub(crate) commit: CommitId,
    /// The commit that this one was made from; itself for commit 0.
    pub(crate) previous: CommitId,
    pub(crate) config: ManifestConfig,
    pub(crate) next_segment: SegmentId,
    pub(crate) saturated_weights: u64,
    /// By rising number.
    pub(crate) segments: Vec<SegmentRecord>,
}

/// What never changes after the first document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ManifestConfig {
    /// Name and digest of the encoder's fingerprint.
    pub(crate) encoder: Option<(String, u64)>,
    /// Term ids are below it; `None`: any.
    pub(crate) term_count: Option<u32>,
    /// The weight of impact 255, once it is known.
    pub(crate) weight_limit: Option<f32>,
    pub(crate) keeps_statistics: bool,
    pub(crate) keeps_labels: bool,
    /// Whether segments hold the encoder's own weights.
    pub(crate) keeps_weights: bool,
    pub(crate) created_with: String,
    /// The field by which documents of large segments lie together.
    pub(crate) partition: Option<String>,
}

/// A segment that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRecord {
    pub(crate) id: SegmentId,
    pub(crate) file: FileRecord,
    /// Deleted ones included.
    pub(crate) doc_count: u32,
    pub(crate) deletes: Option<DeletesRecord>,
    /// What approximate search reaches there, if it was measured.
    pub(crate) calibration: Option<Calibration>,
}

/// The deletes file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeletesRecord {
    pub(crate) commit: CommitId,
    pub(crate) file: FileRecord,
    pub(crate) count: u32,
}

/// What a manifest remembers of a file, enough to tell it from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRecord {
    pub(crate) len: u64,
    /// The checksum of the footer, which covers the other checksums and so all bytes.
    pub(crate) crc: u32,
}

impl Manifest {
    /// Reads and verifies the manifest of `commit`.
    pub(crate) fn read(bytes: FileBytes, commit: CommitId) -> Result<Manifest> {
        let name = FileName::Manifest(commit).to_string();
        let identity = FileIdentity {
            kind: FileKind::Manifest,
            index: FileView::claimed_index(&bytes, &name)?,
            number: commit.0,
        };
        let known = [CONFIGURATION, COMMIT, SEGMENTS, CALIBRATION];
        let view = FileView::open(bytes, &name, identity, &known)?;
        let verified = view.verify();
        #[cfg(sparsely_planted)]
        let verified = verified.or_else(|error| {
            match crate::planted::bug("planted: a torn manifest is accepted") {
                true => Ok(()),
                false => Err(error),
            }
        });
        verified?;
        for section in [CONFIGURATION, COMMIT, SEGMENTS] {
            view.required(section)?;
        }
        let (next_segment, previous, saturated_weights) = commit_section(&view, commit)?;
        let mut segments = segments_section(&view, commit, next_segment)?;
        calibration_section(&view, &mut segments)?;
        Ok(Manifest {
            index: identity.index,
            commit,
            previous,
            config: configuration_section(&view)?,
            next_segment,
            saturated_weights,
            segments,
        })
    }

    /// Writes the manifest into `file`, which is returned unsynced.
    pub(crate) fn write(&self, file: Box<dyn WriteFile>) -> Result<Box<dyn WriteFile>> {
        let identity = FileIdentity {
            kind: FileKind::Manifest,
            index: self.index,
            number: self.commit.0,
        };
        let mut writer = FileWriter::new(file, identity)?;
        writer.section(CONFIGURATION, &self.config.bytes())?;

        writer.begin(COMMIT)?;
        for field in [self.next_segment.0, self.previous.0, self.saturated_weights] {
            writer.write(&field.to_le_bytes())?;
        }

        writer.begin(SEGMENTS)?;
        for segment in &self.segments {
            writer.write(&segment.bytes())?;
        }

        if self
            .segments
            .iter()
            .any(|segment| segment.calibration.is_some())
        {
            writer.begin(CALIBRATION)?;
        }
        for segment in &self.segments {
            if let Some(calibration) = &segment.calibration {
                writer.write(&segment.id.0.to_le_bytes())?;
                writer.write(&calibration.bytes())?;
            }
        }
        writer.finish().map(|(file, _)| file)
    }
}

impl ManifestConfig {
    fn bytes(&self) -> Vec<u8> {
        let flags = [
            (self.keeps_statistics, KEEPS_STATISTICS),
            (self.keeps_labels, KEEPS_LABELS),
            (self.keeps_weights, KEEPS_WEIGHTS),
            (self.encoder.is_some(), NAMES_ENCODER),
            (self.partition.is_some(), NAMES_PARTITION),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set);
        let flags = flags.fold(0, |all, (_, flag)| all | flag);
        let (name, digest) = match &self.encoder {
            Some((name, digest)) => (name.as_str(), *digest),
            None => ("", 0),
        };
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&u32::to_le_bytes(flags));
        bytes.extend_from_slice(&self.term_count.unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.weight_limit.unwrap_or(0.0).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&digest.to_le_bytes());
        crate::bytes::put_text(&mut bytes, name);
        crate::bytes::put_text(&mut bytes, &self.created_with);
        if let Some(field) = &self.partition {
            crate::bytes::put_text(&mut bytes, field);
        }
        bytes
    }
}

impl SegmentRecord {
    /// How many documents are deleted.
    pub(crate) fn deleted_count(&self) -> u32 {
        self.deletes.map_or(0, |deletes| deletes.count)
    }

    fn bytes(&self) -> Vec<u8> {
        let deletes = self.deletes.unwrap_or(DeletesRecord {
            commit: CommitId(0),
            file: FileRecord { len: 0, crc: 0 },
            count: 0,
        });
        let mut bytes = Vec::with_capacity(SEGMENT_RECORD_LEN);
        bytes.extend_from_slice(&self.id.0.to_le_bytes());
        bytes.extend_from_slice(&self.file.len.to_le_bytes());
        bytes.extend_from_slice(&self.file.crc.to_le_bytes());
        bytes.extend_from_slice(&self.doc_count.to_le_bytes());
        bytes.extend_from_slice(&deletes.commit.0.to_le_bytes());
        bytes.extend_from_slice(&deletes.file.len.to_le_bytes());
        bytes.extend_from_slice(&deletes.file.crc.to_le_bytes());
        bytes.extend_from_slice(&deletes.count.to_le_bytes());
        bytes
    }
}

fn configuration_section(view: &FileView) -> Result<ManifestConfig> {
    let mut reader = view.reader(CONFIGURATION);
    let flags = reader.u32("flags")?;
    if flags & !FLAGS != 0 {
        return Err(reader.corrupt("known flags", format_args!("{flags:#x}")));
    }
    let term_count = reader.u32("term count")?;
    let limit = reader.f32("weight limit")?;
    if !(limit == 0.0 || limit.is_normal() && limit > 0.0) {
        return Err(reader.corrupt("a finite weight limit above zero, or zero", limit));
    }
    let reserved = reader.u32("reserved")?;
    let digest = reader.u64("encoder digest")?;
    let name = reader.text("encoder name")?;
    let created_with = reader.text("version of the library")?.to_owned();
    let names_encoder = flags & NAMES_ENCODER != 0;
    let partition = match flags & NAMES_PARTITION {
        0 => None,
        _ => Some(reader.text("partition field")?.to_owned()),
    };
    if partition.as_ref().is_some_and(String::is_empty) {
        return Err(reader.corrupt("the name of a field", "none"));
    }
    if reserved != 0 || !names_encoder && (digest != 0 || !name.is_empty()) {
        return Err(reader.corrupt("zero in what is not used", "other bytes"));
    }
    reader.finish()?;
    Ok(ManifestConfig {
        encoder: names_encoder.then(|| (name.to_owned(), digest)),
        term_count: (term_count > 0).then_some(term_count),
        weight_limit: (limit > 0.0).then_some(limit),
        keeps_statistics: flags & KEEPS_STATISTICS != 0,
        keeps_labels: flags & KEEPS_LABELS != 0,
        keeps_weights: flags & KEEPS_WEIGHTS != 0,
        created_with,
        partition,
    })
}

fn commit_section(view: &FileView, commit: CommitId) -> Result<(SegmentId, CommitId, u64)> {
    let mut reader = view.reader(COMMIT);
    let next_segment = SegmentId(reader.u64("next segment")?);
    if next_segment.0 >= NUMBER_END {
        return Err(reader.corrupt("a number below 2^62", next_segment));
    }
    let previous = CommitId(reader.u64("previous commit")?);
    if previous >= commit && commit.0 != 0 || previous > commit {
        return Err(reader.corrupt(format_args!("a commit before {commit}"), previous));
    }
    let saturated = reader.u64("saturated weights")?;
    reader.finish()?;
    Ok((next_segment, previous, saturated))
}

fn segments_section(
    view: &FileView,
    commit: CommitId,
    next_segment: SegmentId,
) -> Result<Vec<SegmentRecord>> {
    let mut reader = view.reader(SEGMENTS);
    let mut segments: Vec<SegmentRecord> = Vec::new();
    while reader.remaining() > 0 {
        let id = SegmentId(reader.u64("segment")?);
        if id >= next_segment || segments.last().is_some_and(|before| before.id >= id) {
            return Err(reader.corrupt(format_args!("rising ids below {next_segment}"), id));
        }
        let file = FileRecord {
            len: reader.u64("file length")?,
            crc: reader.u32("footer checksum")?,
        };
        let doc_count = reader.u32("documents")?;
        let deletes_commit = CommitId(reader.u64("commit of deletes")?);
        let deletes_file = FileRecord {
            len: reader.u64("length of deletes")?,
            crc: reader.u32("footer checksum of deletes")?,
        };
        let count = reader.u32("deleted documents")?;
        let deletes = (deletes_file.len > 0).then_some(DeletesRecord {
            commit: deletes_commit,
            file: deletes_file,
            count,
        });
        let is_consistent = match deletes {
            None => deletes_commit.0 == 0 && deletes_file.crc == 0 && count == 0 && doc_count > 0,
            Some(_) => (1..doc_count).contains(&count) && deletes_commit <= commit,
        };
        if !is_consistent {
            let expected = format_args!("fewer deleted documents than {doc_count}");
            return Err(reader.corrupt(expected, format_args!("{count} in segment {id}")));
        }
        segments.push(SegmentRecord {
            id,
            file,
            doc_count,
            deletes,
            calibration: None,
        });
    }
    Ok(segments)
}

/// Gives segments what was measured of them.
fn calibration_section(view: &FileView, segments: &mut [SegmentRecord]) -> Result<()> {
    if !view.has(CALIBRATION) {
        return Ok(());
    }
    let mut reader = view.reader(CALIBRATION);
    let mut before = None;
    while reader.remaining() > 0 {
        let id = SegmentId(reader.u64("segment")?);
        let known = segments.iter_mut().find(|segment| segment.id == id);
        let Some(segment) = known.filter(|_| before < Some(id)) else {
            return Err(reader.corrupt("segments of the commit, rising", id));
        };
        segment.calibration = Some(Calibration::read(&mut reader)?);
        before = Some(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        storage::{Memory, Storage},
    };

    /// Three curves that fall, each from another recall.
    fn calibration() -> Calibration {
        let curve = |first: u16| std::array::from_fn(|at| first - 100 * u16::try_from(at).unwrap());
        Calibration {
            recalls: [65_535, 65_000, 64_000].map(curve),
        }
    }

    fn example() -> Manifest {
        let file = |len, crc| FileRecord { len, crc };
        Manifest {
            index: [3; 16],
            commit: CommitId(9),
            previous: CommitId(7),
            config: ManifestConfig {
                encoder: Some(("lexical".to_owned(), 77)),
                term_count: Some(30_522),
                weight_limit: Some(3.5),
                keeps_statistics: true,
                keeps_labels: false,
                keeps_weights: true,
                created_with: "0.1.0".to_owned(),
                partition: Some("tenant".to_owned()),
            },
            next_segment: SegmentId(8),
            saturated_weights: 2,
            segments: vec![
                SegmentRecord {
                    id: SegmentId(1),
                    file: file(4096, 5),
                    doc_count: 10,
                    deletes: None,
                    calibration: None,
                },
                SegmentRecord {
                    id: SegmentId(7),
                    file: file(8192, 6),
                    doc_count: 3,
                    deletes: Some(DeletesRecord {
                        commit: CommitId(8),
                        file: file(192, 7),
                        count: 2,
                    }),
                    calibration: Some(calibration()),
                },
            ],
        }
    }

    fn bytes(manifest: &Manifest) -> Vec<u8> {
        let memory = Memory::default();
        drop(manifest.write(memory.create("m").unwrap()).unwrap());
        memory.open("m").unwrap().to_vec()
    }

    fn read(bytes: Vec<u8>) -> Result<Manifest> {
        Manifest::read(FileBytes::new(bytes), CommitId(9))
    }

    #[test]
    fn what_was_written_is_read() {
        let full = example();
        assert_eq!(read(bytes(&full)).unwrap(), full);
        let empty = Manifest {
            config: ManifestConfig {
                encoder: None,
                term_count: None,
                weight_limit: None,
                partition: None,
                ..full.config.clone()
            },
            segments: Vec::new(),
            ..full
        };
        assert_eq!(read(bytes(&empty)).unwrap(), empty);
    }

    #[test]
    fn every_flipped_bit_and_truncation_is_found() {
        let good = bytes(&example());
        let step = if cfg!(miri) { 97 } else { 1 };
        for at in (0..good.len()).step_by(step) {
            assert!(read(good[..at].to_vec()).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    /// Whole files that break one rule, with right checksums: what an attacker or a bug writes.
    #[test]
    fn every_rule_is_checked() {
        let refused = |break_it: fn(&mut Manifest)| {
            let mut manifest = example();
            break_it(&mut manifest);
            let error = read(bytes(&manifest)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{manifest:?}: {error}");
        };
        refused(|m| m.config.weight_limit = Some(f32::NAN));
        refused(|m| m.config.weight_limit = Some(-1.0));
        refused(|m| m.config.weight_limit = Some(f32::INFINITY));
        refused(|m| m.previous = CommitId(9));
        refused(|m| m.segments.swap(0, 1));
        refused(|m| m.segments[1].id = SegmentId(1));
        refused(|m| m.next_segment = SegmentId(7));
        refused(|m| m.next_segment = SegmentId(NUMBER_END));
        refused(|m| m.segments[0].doc_count = 0);
        refused(|m| m.segments[1].doc_count = 2);
        refused(|m| m.segments[1].deletes.as_mut().unwrap().count = 0);
        refused(|m| m.segments[1].deletes.as_mut().unwrap().commit = CommitId(10));
        refused(|m| m.segments[1].deletes.as_mut().unwrap().file.len = 0);
        refused(|m| m.segments[1].calibration.as_mut().unwrap().recalls[1][7] = 65_535);
        refused(|m| m.config.partition = Some(String::new()));
    }

    /// A manifest of sections as they are given, with right checksums.
    fn raw(sections: &[(SectionId, Vec<u8>)]) -> Vec<u8> {
        let identity = FileIdentity {
            kind: FileKind::Manifest,
            index: [3; 16],
            number: 9,
        };
        let memory = Memory::default();
        let mut writer = FileWriter::new(memory.create("m").unwrap(), identity).unwrap();
        for (id, bytes) in sections {
            writer.section(*id, bytes).unwrap();
        }
        drop(writer.finish().unwrap());
        memory.open("m").unwrap().to_vec()
    }

    /// What no manifest of this library could be made to say.
    #[test]
    fn every_byte_has_a_meaning_or_is_refused() {
        let manifest = example();
        let numbers = [8_u64, 7, 2].map(u64::to_le_bytes).concat();
        let records: Vec<u8> = manifest.segments.iter().flat_map(|s| s.bytes()).collect();
        let curves = [&7_u64.to_le_bytes()[..], &calibration().bytes()].concat();
        let good = [
            (CONFIGURATION, manifest.config.bytes()),
            (COMMIT, numbers),
            (SEGMENTS, records),
            (CALIBRATION, curves.clone()),
        ];
        assert_eq!(read(raw(&good)).unwrap(), manifest);
        type Sections = [(SectionId, Vec<u8>); 4];
        let refused = |why: &str, change: &dyn Fn(&mut Sections)| {
            let mut sections = good.clone();
            change(&mut sections);
            let error = read(raw(&sections)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{why}: {error}");
        };
        refused("a flag of the future", &|s| s[0].1[0] |= 32);
        refused("reserved bytes", &|s| s[0].1[12] = 1);
        refused("a name without its flag", &|s| s[0].1[0] &= !4);
        for (at, name) in ["configuration", "commit", "segments"].iter().enumerate() {
            refused(name, &|s| s[at].1.push(0));
            refused(name, &|s| s[at].1.truncate(s[at].1.len() - 1));
        }
        refused("a curve cut off", &|s| s[3].1.truncate(curves.len() - 1));
        refused("a curve twice", &|s| s[3].1.extend_from_slice(&curves));
        refused("a curve of no segment", &|s| s[3].1[0] = 6);
        for missing in 0..3 {
            let mut sections = good.to_vec();
            sections.remove(missing);
            let error = read(raw(&sections)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{missing}: {error}");
        }
    }

    #[test]
    fn another_commit_number_is_refused() {
        let bytes = FileBytes::new(bytes(&example()));
        assert!(Manifest::read(bytes, CommitId(8)).is_err());
    }

    #[test]
    fn the_layout_is_as_documented() {
        let manifest = example();
        let file = bytes(&manifest);
        let commit = Manifest::read(FileBytes::new(file), CommitId(9)).unwrap();
        let second = commit.segments[1].bytes();
        let field = |name: &str| -> u64 {
            let range = crate::format::tests::documented(name);
            let bytes = second[range].iter().rev();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        assert_eq!(field("SEGMENT_NUMBER"), 7);
        assert_eq!(field("SEGMENT_FILE_LEN"), 8192);
        assert_eq!(field("SEGMENT_CRC"), 6);
        assert_eq!(field("SEGMENT_DOCUMENTS"), 3);
        assert_eq!(field("DELETES_COMMIT"), 8);
        assert_eq!(field("DELETES_FILE_LEN"), 192);
        assert_eq!(field("DELETES_CRC"), 7);
        assert_eq!(field("SEGMENT_DELETED"), 2);
        let end = crate::format::tests::documented("SEGMENT_DELETED").end;
        assert_eq!(
            (end, second.len()),
            (SEGMENT_RECORD_LEN, SEGMENT_RECORD_LEN)
        );

        let config = manifest.config.bytes();
        let field = |name: &str| config[crate::format::tests::documented(name)].to_vec();
        assert_eq!(field("CONFIGURATION_FLAGS"), 29_u32.to_le_bytes());
        assert_eq!(field("ENCODER_TERM_COUNT"), 30_522_u32.to_le_bytes());
        assert_eq!(field("WEIGHT_LIMIT"), 3.5_f32.to_le_bytes());
        assert_eq!(field("CONFIGURATION_RESERVED"), [0; 4]);
        assert_eq!(field("ENCODER_DIGEST"), 77_u64.to_le_bytes());

        let curves = calibration().bytes();
        let recalls = crate::format::tests::documented("CALIBRATED_RECALLS");
        assert_eq!((recalls.start, recalls.len()), (8, curves.len()));
        assert_eq!(curves[64..66], 65_000_u16.to_le_bytes());
    }
}
