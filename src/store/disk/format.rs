//! The file of one object: what stands where, and how a damaged one is told from a whole one.
//!
//! ```text
//! head (56 bytes) | key | surrogate keys | meta | body | CRC-32 of each 256 KiB of the body | CRC-32 of that table
//! ```
//!
//! All numbers are little-endian. The head holds the magic, the version, the key's hash, the lengths, and the CRC-32 of
//! itself with key, surrogate keys and meta; the checksum of the table begins with that of the head, so that a tail of
//! another version of the file is not taken for this one's. A file that is cut off anywhere has the wrong size; one
//! whose bytes changed fails the checksum of the part that is read, before anything of that part is used.

use crc32fast::Hasher;

const MAGIC: [u8; 8] = *b"SLUICE\x1a\n";
const VERSION: u32 = 1;
pub(super) const HEAD_BYTES: usize = 56;
/// The unit in which a body is read and checked.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
const KEY_BYTES_MAX: usize = 64 << 10;
const TAGS_BYTES_MAX: usize = 64 << 10;
const META_BYTES_MAX: usize = 1 << 20;

/// What the head of a file says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub hash: u128,
    pub key_bytes: usize,
    pub tags_bytes: usize,
    pub meta_bytes: usize,
    /// What the meta takes in memory.
    pub meta_weight: u32,
    pub body_bytes: u64,
    pub checksum: u32,
}

/// All of a file before its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Front<'a> {
    pub key: &'a str,
    pub tags: Box<[Box<str>]>,
    pub meta: &'a [u8],
}

impl Layout {
    /// The layout that `head` tells, when a file of `file_bytes` can have it.
    pub fn read(head: &[u8; HEAD_BYTES], file_bytes: u64) -> Option<Self> {
        let mut fields = Fields(head);
        if fields.take::<8>() != MAGIC || fields.number() != VERSION {
            return None;
        }
        let layout = Self {
            hash: u128::from_le_bytes(fields.take()),
            key_bytes: fields.size(KEY_BYTES_MAX)?,
            tags_bytes: fields.size(TAGS_BYTES_MAX)?,
            meta_bytes: fields.size(META_BYTES_MAX)?,
            meta_weight: fields.number(),
            body_bytes: u64::from_le_bytes(fields.take()),
            checksum: fields.number(),
        };
        (layout.file_bytes() == Some(file_bytes)).then_some(layout)
    }

    /// The bytes between the head and the body.
    pub fn front_bytes(&self) -> usize {
        self.key_bytes + self.tags_bytes + self.meta_bytes
    }

    pub fn body_offset(&self) -> u64 {
        (HEAD_BYTES + self.front_bytes()) as u64
    }

    pub fn chunks(&self) -> u64 {
        self.body_bytes.div_ceil(CHUNK_BYTES as u64)
    }

    /// The bytes of the table with its own checksum.
    pub fn table_bytes(&self) -> u64 {
        (self.chunks() + 1) * 4
    }

    pub fn table_offset(&self) -> u64 {
        self.body_offset() + self.body_bytes
    }

    fn file_bytes(&self) -> Option<u64> {
        self.body_offset().checked_add(self.body_bytes)?.checked_add(self.table_bytes())
    }

    /// Key, surrogate keys and meta, when the checksum of the head holds for them.
    pub fn front<'a>(&self, head: &[u8; HEAD_BYTES], front: &'a [u8]) -> Option<Front<'a>> {
        if front.len() != self.front_bytes() || checksum(&[&head[..HEAD_BYTES - 4], front]) != self.checksum {
            return None;
        }
        let (key, rest) = front.split_at(self.key_bytes);
        let (tags, meta) = rest.split_at(self.tags_bytes);
        Some(Front { key: str::from_utf8(key).ok()?, tags: tags_of(tags)?, meta })
    }

    /// The checksums of the body's chunks, when that of their table holds.
    pub fn table(&self, table: &[u8]) -> Option<Box<[u32]>> {
        let (entries, own) = table.split_last_chunk::<4>()?;
        if checksum(&[&self.checksum.to_le_bytes(), entries]) != u32::from_le_bytes(*own) {
            return None;
        }
        let (entries, []) = entries.as_chunks::<4>() else { return None };
        let entries: Box<[u32]> = entries.iter().map(|entry| u32::from_le_bytes(*entry)).collect();
        (entries.len() as u64 == self.chunks()).then_some(entries)
    }
}

/// Head, key, surrogate keys and meta of a file, with the checksum of its head; nothing where a part is too long.
pub(super) fn front(
    hash: u128,
    front: &Front<'_>,
    meta_weight: u32,
    body_bytes: u64,
) -> Option<(Vec<u8>, u32)> {
    let mut tags = Vec::new();
    for tag in &front.tags {
        tags.extend_from_slice(&u16::try_from(tag.len()).ok()?.to_le_bytes());
        tags.extend_from_slice(tag.as_bytes());
    }
    let parts = [front.key.as_bytes(), &tags, front.meta];
    let mut bytes = Vec::with_capacity(HEAD_BYTES + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&hash.to_le_bytes());
    for (part, bytes_max) in parts.iter().zip([KEY_BYTES_MAX, TAGS_BYTES_MAX, META_BYTES_MAX]) {
        let length = u32::try_from(part.len()).ok().filter(|_| part.len() <= bytes_max)?;
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    bytes.extend_from_slice(&meta_weight.to_le_bytes());
    bytes.extend_from_slice(&body_bytes.to_le_bytes());
    let [key, tags, meta] = parts;
    let checksum = checksum(&[&bytes, key, tags, meta]);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Some((bytes, checksum))
}

/// Reckons the table of a body that is written piece by piece.
#[derive(Debug, Default)]
pub(super) struct Table {
    chunk: Hasher,
    chunk_bytes: usize,
    entries: Vec<u8>,
}

impl Table {
    pub fn add(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(CHUNK_BYTES - self.chunk_bytes));
            self.chunk.update(now);
            self.chunk_bytes += now.len();
            if self.chunk_bytes == CHUNK_BYTES {
                self.end_chunk();
            }
            piece = later;
        }
    }

    /// The table with its own checksum, for a file whose head has `head_checksum`.
    pub fn finish(mut self, head_checksum: u32) -> Vec<u8> {
        if self.chunk_bytes > 0 {
            self.end_chunk();
        }
        let own = checksum(&[&head_checksum.to_le_bytes(), &self.entries]);
        self.entries.extend_from_slice(&own.to_le_bytes());
        self.entries
    }

    fn end_chunk(&mut self) {
        let entry = std::mem::take(&mut self.chunk).finalize();
        self.entries.extend_from_slice(&entry.to_le_bytes());
        self.chunk_bytes = 0;
    }
}

fn tags_of(mut bytes: &[u8]) -> Option<Box<[Box<str>]>> {
    let mut tags = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (tag, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        tags.push(str::from_utf8(tag).ok()?.into());
        bytes = rest;
    }
    bytes.is_empty().then(|| tags.into())
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The fields of a head, in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let (field, rest) = self.0.split_first_chunk().expect("a head is as long as its fields");
        self.0 = rest;
        *field
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn size(&mut self, bytes_max: usize) -> Option<usize> {
        usize::try_from(self.number()).ok().filter(|bytes| *bytes <= bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(key: &str, tags: &[&str], meta: &[u8], body: &[u8]) -> Vec<u8> {
        let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
        let (mut bytes, checksum) =
            front(7, &Front { key, tags, meta }, 99, body.len() as u64).expect("within the limits");
        let mut table = Table::default();
        body.chunks(1_000).for_each(|piece| table.add(piece));
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&table.finish(checksum));
        bytes
    }

    /// All that a file tells, when it is whole.
    fn read(bytes: &[u8]) -> Option<(String, Box<[Box<str>]>, Vec<u8>, Vec<u8>)> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        let layout = Layout::read(head, bytes.len() as u64)?;
        let at = |offset: u64| usize::try_from(offset).unwrap();
        let front = layout.front(head, &bytes[HEAD_BYTES..at(layout.body_offset())])?;
        let table = layout.table(&bytes[at(layout.table_offset())..])?;
        let body = &bytes[at(layout.body_offset())..at(layout.table_offset())];
        let sums = body.chunks(CHUNK_BYTES).map(crc32fast::hash);
        if !sums.eq(table.iter().copied()) {
            return None;
        }
        Some((front.key.to_owned(), front.tags, front.meta.to_owned(), body.to_owned()))
    }

    #[test]
    fn what_is_written_is_read_again() {
        for body_bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let body = vec![9; body_bytes];
            let (key, tags, meta, read) = read(&file("key", &["a", ""], b"meta", &body)).unwrap();
            assert_eq!((key.as_str(), meta.as_slice()), ("key", &b"meta"[..]));
            assert_eq!(&*tags, [Box::from("a"), Box::from("")]);
            assert!(read == body);
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_or_with_one_byte_changed_is_not_read() {
        let whole = file("key", &["tag"], b"meta", b"the body");
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "cut at {length}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(read(&changed), None, "bit {bit} of byte {at}");
            }
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(read(&longer), None);
    }

    #[test]
    fn the_tail_of_another_file_is_not_taken_for_its_own() {
        let (one, other) = (file("one", &[], b"", b"same size"), file("two", &[], b"", b"same size"));
        let mixed = [&one[..one.len() - 8], &other[other.len() - 8..]].concat();
        assert_eq!(read(&mixed), None);
    }

    #[test]
    fn what_is_too_long_for_its_field_is_not_written() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let tags = || Box::<[Box<str>]>::default();
        assert!(front(7, &Front { key: &long, tags: tags(), meta: b"" }, 0, 0).is_none());
        assert!(front(7, &Front { key: &long[1..], tags: tags(), meta: b"" }, 0, 0).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            file_bytes in any::<u64>(),
        ) {
            prop_assert_eq!(read(&bytes), None);
            if let Some(head) = bytes.first_chunk::<HEAD_BYTES>() {
                prop_assert_eq!(Layout::read(head, file_bytes), None);
            }
        }
    }
}
