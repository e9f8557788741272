//! Segments of a later loop of the clip: their timestamps and counters moved on, so that a live stream's timeline never jumps back.
//!
//! A loop is a discontinuity and is marked as one, but ffmpeg does not look at the mark, and stumbles over time that runs backwards.

use crate::lab::media::{CLIP, SEGMENTS};

/// Bytes of an MPEG-TS packet.
const PACKET: usize = 188;
/// MPEG-TS timestamps have 33 bits.
const TIMESTAMP_MASK: u64 = (1 << 33) - 1;
/// Ticks of an MPEG-TS timestamp per second.
pub const TICKS: u64 = 90_000;

/// How many packets each stream of a track has in the whole clip, by PID: what the 4-bit continuity counters advance by per loop.
pub type PacketCounts = Vec<(u16, u64)>;

/// Counts the packets of one more segment.
pub fn count_packets(segment: &[u8], counts: &mut PacketCounts) {
    for packet in segment.as_chunks::<PACKET>().0 {
        match counts.iter_mut().find(|(pid, _)| *pid == pid_of(packet)) {
            Some((_, count)) => *count += 1,
            None => counts.push((pid_of(packet), 1)),
        }
    }
}

/// An MPEG-TS segment, `loops` clips later: PCR, PTS and DTS, and the continuity counters (ISO/IEC 13818-1, 2.4.3).
pub fn transport_stream(segment: &[u8], loops: u64, counts: &PacketCounts) -> Vec<u8> {
    let shift = loops.wrapping_mul(CLIP.as_secs() * TICKS) & TIMESTAMP_MASK;
    let mut moved = segment.to_vec();
    for packet in moved.as_chunks_mut::<PACKET>().0 {
        let count = counts.iter().find(|(pid, _)| *pid == pid_of(packet)).map_or(0, |(_, count)| *count);
        let counter = (u64::from(packet[3] & 0x0F) + (loops & 0x0F) * (count & 0x0F)) & 0x0F;
        packet[3] = packet[3] & 0xF0 | counter as u8;
        let mut payload = 4;
        if packet[3] & 0x20 != 0 {
            let length = usize::from(packet[4]);
            if length >= 7 && packet[5] & 0x10 != 0 {
                move_clock_reference(&mut packet[6..11], shift);
            }
            payload += 1 + length;
        }
        let starts_unit = packet[1] & 0x40 != 0;
        if let Some(unit) =
            packet.get_mut(payload..).filter(|unit| starts_unit && unit.starts_with(&[0, 0, 1]))
        {
            move_elementary(unit, shift);
        }
    }
    moved
}

fn pid_of(packet: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// `program_clock_reference_base`: 33 bits at the head of the field.
fn move_clock_reference(field: &mut [u8], shift: u64) {
    let old = field.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let base = (old >> 7).wrapping_add(shift) & TIMESTAMP_MASK;
    field.copy_from_slice(&(base << 7 | old & 0x7F).to_be_bytes()[3..]);
}

/// The timestamps of a PES header: the two flags say which of them stand there.
fn move_elementary(unit: &mut [u8], shift: u64) {
    let Some(flags) = unit.get(7).map(|flags| flags >> 6) else { return };
    if let Some(field) = unit.get_mut(9..14).filter(|_| flags & 0b10 != 0) {
        move_timestamp(field, shift);
    }
    if let Some(field) = unit.get_mut(14..19).filter(|_| flags == 0b11) {
        move_timestamp(field, shift);
    }
}

/// 33 bits in three pieces, each followed by a marker bit.
fn move_timestamp(field: &mut [u8], shift: u64) {
    let old = field.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let time =
        ((old >> 33 & 0x07) << 30 | (old >> 17 & 0x7FFF) << 15 | old >> 1 & 0x7FFF).wrapping_add(shift);
    let new = old & !(0x07 << 33 | 0x7FFF << 17 | 0x7FFF << 1)
        | (time >> 30 & 0x07) << 33
        | (time >> 15 & 0x7FFF) << 17
        | (time & 0x7FFF) << 1;
    field.copy_from_slice(&new.to_be_bytes()[3..]);
}

/// An fMP4 segment, `loops` clips later: `sidx`, `mfhd` and `tfdt` (ISO/IEC 14496-12, 8.8 and 8.16).
pub fn fragmented(segment: &[u8], loops: u64) -> Vec<u8> {
    let mut moved = segment.to_vec();
    let mut timescale = 0;
    each_box(&mut moved, &mut |kind, body| match kind {
        b"sidx" => {
            timescale = number(body, 8, 4).unwrap_or(0);
            move_time(body, 12, loops * CLIP.as_secs() * timescale);
        }
        b"mfhd" => add(body, 4, 4, loops * SEGMENTS as u64),
        b"tfdt" => move_time(body, 4, loops * CLIP.as_secs() * timescale),
        _ => {}
    });
    moved
}

/// Calls `visit` with each box at this level and inside `moof` and `traf`.
fn each_box(mut bytes: &mut [u8], visit: &mut dyn FnMut(&[u8; 4], &mut [u8])) {
    while let Some(size) = number(bytes, 0, 4).and_then(|size| usize::try_from(size).ok()) {
        if size < 8 || size > bytes.len() {
            return;
        }
        let (one, rest) = bytes.split_at_mut(size);
        let kind = [one[4], one[5], one[6], one[7]];
        match &kind {
            b"moof" | b"traf" => each_box(&mut one[8..], visit),
            _ => visit(&kind, &mut one[8..]),
        }
        bytes = rest;
    }
}

/// Moves a time whose width the version of its box tells: 32 bits in version 0, 64 in version 1.
fn move_time(body: &mut [u8], at: usize, shift: u64) {
    let width = if body.first() == Some(&0) { 4 } else { 8 };
    add(body, at, width, shift);
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    Some(bytes.get(at..at + width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn add(bytes: &mut [u8], at: usize, width: usize, shift: u64) {
    if let Some(old) = number(bytes, at, width) {
        bytes[at..at + width].copy_from_slice(&old.wrapping_add(shift).to_be_bytes()[8 - width..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::media::{Ladder, Packaging};

    /// The first PTS and each PID's first and last continuity counter.
    fn marks(segment: &[u8]) -> (u64, Vec<(u16, u8, u8)>) {
        let mut pts = None;
        let mut counters: Vec<(u16, u8, u8)> = Vec::new();
        for packet in segment.as_chunks::<PACKET>().0 {
            let (pid, counter) = (pid_of(packet), packet[3] & 0x0F);
            match counters.iter_mut().find(|(known, ..)| *known == pid) {
                Some((_, _, last)) => {
                    assert_eq!(counter, (*last + 1) & 0x0F, "continuity of PID {pid:#x}");
                    *last = counter;
                }
                None => counters.push((pid, counter, counter)),
            }
            let payload = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
            if pts.is_none() && packet[1] & 0x40 != 0 && packet[payload..].starts_with(&[0, 0, 1]) {
                let field: Vec<u64> =
                    packet[payload + 9..payload + 14].iter().map(|b| u64::from(*b)).collect();
                assert!(field[0] & 1 == 1 && field[2] & 1 == 1 && field[4] & 1 == 1, "marker bits");
                pts = Some(
                    (field[0] >> 1 & 7) << 30
                        | field[1] << 22
                        | (field[2] >> 1) << 15
                        | field[3] << 7
                        | field[4] >> 1,
                );
            }
        }
        (pts.expect("a PES packet"), counters)
    }

    #[test]
    fn the_next_loop_goes_on_where_the_clip_ended() {
        for track in Ladder::embedded(Packaging::Ts).tracks {
            let (first, last) = (&track.segments[0].file.bytes, &track.segments[SEGMENTS - 1].file.bytes);
            for loops in [1, 2, 15, 16, 1_000_003] {
                let before = transport_stream(last, loops - 1, &track.packets);
                let after = transport_stream(first, loops, &track.packets);
                let expected = (126_000 + loops * CLIP.as_secs() * TICKS) & TIMESTAMP_MASK;
                assert_eq!(marks(&after).0, expected, "{} loop {loops}", track.name);
                for (pid, start, _) in marks(&after).1 {
                    let ended = marks(&before)
                        .1
                        .into_iter()
                        .find(|(known, ..)| *known == pid)
                        .expect("the same PIDs")
                        .2;
                    assert_eq!(start, (ended + 1) & 0x0F, "{} PID {pid:#x} loop {loops}", track.name);
                }
            }
        }
    }

    #[test]
    fn a_fragment_moves_by_whole_clips() {
        for track in Ladder::embedded(Packaging::Fmp4).tracks {
            let segment = &track.segments[3].file.bytes;
            let time_of = |bytes: &[u8]| {
                let at = memchr::memmem::find(bytes, b"tfdt").expect("a decode time");
                number(bytes, at + 8, 8).expect("64 bits")
            };
            let scale = if track.name.starts_with('v') { 12_800 } else { 48_000 };
            let moved = fragmented(segment, 7);
            assert_eq!(time_of(&moved) - time_of(segment), 7 * 32 * scale, "{}", track.name);
            let changed = moved.iter().zip(segment).filter(|(a, b)| a != b).count();
            assert!(moved.len() == segment.len() && (3..=20).contains(&changed), "{changed} bytes changed");
        }
    }

    #[test]
    fn the_first_loop_is_the_clip_itself_and_garbage_is_left_alone() {
        for track in Ladder::embedded(Packaging::Ts).tracks {
            let segment = &track.segments[5].file.bytes;
            assert_eq!(transport_stream(segment, 0, &track.packets), segment.as_ref());
        }
        for garbage in [&[][..], &[0; 7], &[0, 0, 0, 9, b's', b'i', b'd', b'x', 1], &[0xFF; 400]] {
            assert_eq!(fragmented(garbage, 1), garbage);
        }
        let mut stuffed = [0xFF; PACKET];
        stuffed[..4].copy_from_slice(&[0x47, 0x40, 0, 0x30]);
        assert_eq!(transport_stream(&stuffed, 0, &Vec::new()).len(), PACKET);
    }
}
