//! The head of a segment: what all of its other sections agree with.

use super::options::StatisticsKept;
use crate::{
    error::Result,
    format::{FileView, SectionId},
    quantize::Scale,
};

pub(super) const INFO: SectionId = SectionId::required(1, "segment info");
const RESERVED_LEN: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Info {
    pub(super) doc_count: u32,
    pub(super) statistics: StatisticsKept,
    pub(super) scale: Scale,
    pub(super) posting_count: u64,
    pub(super) saturated_count: u64,
    /// The most by which a weight that is kept is above what its impact stands for.
    pub(super) weight_over: f32,
}

impl Info {
    pub(super) fn read(view: &FileView) -> Result<Info> {
        let mut reader = view.checked_reader(INFO)?;
        let doc_count = reader.u32("document count")?;
        if doc_count == u32::MAX {
            return Err(reader.corrupt("fewer documents", doc_count));
        }
        let statistics = match reader.u32("statistics kept")? {
            0 => StatisticsKept::None,
            1 => StatisticsKept::OwnTerms,
            other => return Err(reader.corrupt("0 or 1", other)),
        };
        let limit = reader.f32("weight limit")?;
        let scale = Scale::new(limit).map_err(|error| reader.corrupt("a weight limit", error))?;
        let weight_over = reader.f32("weight over its impact")?;
        if !(weight_over.is_finite() && weight_over >= 0.0) {
            return Err(reader.corrupt("a finite number from zero on", weight_over));
        }
        let info = Info {
            doc_count,
            statistics,
            scale,
            posting_count: reader.u64("posting count")?,
            saturated_count: reader.u64("saturated count")?,
            weight_over,
        };
        if reader.array::<RESERVED_LEN>("reserved")? != &[0; RESERVED_LEN] {
            return Err(reader.corrupt("zero bytes", "others"));
        }
        reader.finish()?;
        Ok(info)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let statistics = match self.statistics {
            StatisticsKept::None => 0_u32,
            StatisticsKept::OwnTerms => 1,
        };
        let mut bytes = self.doc_count.to_le_bytes().to_vec();
        bytes.extend_from_slice(&statistics.to_le_bytes());
        bytes.extend_from_slice(&self.scale.limit().to_le_bytes());
        bytes.extend_from_slice(&self.weight_over.to_le_bytes());
        bytes.extend_from_slice(&self.posting_count.to_le_bytes());
        bytes.extend_from_slice(&self.saturated_count.to_le_bytes());
        bytes.extend_from_slice(&[0; RESERVED_LEN]);
        bytes
    }
}
