//! Sparse files of GNU tar's old form: the header has a map of the pieces, the content is the pieces one after the other.
//!
//! Source: GNU tar manual, "Old GNU Format".

use super::Refusal;
use super::members::{Member, Members};
use super::pax::LIMIT;
use std::io::Read;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

impl<R: Read> Members<R> {
    /// The map of an old GNU sparse file: four pieces in the header, 21 in each block after it.
    pub(super) fn read_sparse_map(&mut self, header: &Header, member: &mut Member) -> Result<(), Refusal> {
        const WRONG: Refusal = Refusal::Header { why: "the map of the sparse file is wrong" };
        let gnu = header.as_gnu().ok_or(WRONG)?;
        let mut pieces = Vec::new();
        add_pieces(&mut pieces, &gnu.sparse).ok_or(WRONG)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            if !self.block(block.as_mut_bytes())? || pieces.len() as u64 * 24 > LIMIT {
                return Err(WRONG);
            }
            add_pieces(&mut pieces, block.sparse()).ok_or(WRONG)?;
            more = block.is_extended();
        }
        member.size = gnu.real_size().map_err(|_| WRONG)?;
        let stored: u64 = pieces.iter().map(|(_, length)| length).sum();
        let end = pieces.last().map_or(0, |(offset, length)| offset + length);
        if stored != self.left || end > member.size {
            return Err(WRONG);
        }
        member.sparse = Some(pieces);
        Ok(())
    }
}

/// Appends the pieces; `None` unless each comes after the one before it.
fn add_pieces(pieces: &mut Vec<(u64, u64)>, headers: &[GnuSparseHeader]) -> Option<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let (offset, length) = (header.offset().ok()?, header.length().ok()?);
        let end = pieces.last().map_or(0, |(offset, length)| offset + length);
        if offset < end || offset.checked_add(length)? > i64::MAX as u64 {
            return None;
        }
        pieces.push((offset, length));
    }
    Some(())
}
