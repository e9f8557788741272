//! An origin's answer: head and body come out the same however the bytes are cut, nothing panics, and no byte is lost.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sluicegate::origin::http1::framing::Step;
use sluicegate::origin::http1::head::{HeadFault, Limits, Reader};

const LIMITS: Limits = Limits { bytes_max: 8 << 10, fields_max: 32 };

/// Status, framing and body of an answer, and whether all of it came; none where it is no answer.
type Read = Option<(u16, usize, Vec<u8>, bool)>;

fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (bytes, cuts) = input;
    let whole = read(bytes, std::iter::once(bytes.len()));
    let parts = read(bytes, cuts.iter().map(|cut| usize::from(*cut) + 1).chain([usize::MAX]));
    match (whole, parts) {
        (Ok(whole), Ok(parts)) => assert_eq!(whole, parts),
        // What is wrong is found sooner or later, and with it what came before.
        (Err(_), Err(_) | Ok(None)) | (Ok(None), Err(_)) => {}
        (whole, parts) => panic!("{whole:?} but in parts {parts:?}"),
    }
});

#[derive(Debug)]
#[expect(dead_code, reason = "printed where an assertion fails")]
enum Fault {
    Head(HeadFault),
    Body(sluicegate::origin::http1::framing::ChunkFault),
}

fn read(bytes: &[u8], steps: impl Iterator<Item = usize>) -> Result<Read, Fault> {
    let (mut buffer, mut reader, mut head, mut body) = (BytesMut::new(), Reader::default(), None, Vec::new());
    let mut rest = bytes;
    for step in steps {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(step.min(rest.len()));
        buffer.extend_from_slice(now);
        rest = later;
        if head.is_none() {
            head = reader.read(&mut buffer, false, LIMITS).map_err(Fault::Head)?;
        }
        if let Some(head) = &mut head {
            while let Step::Data(data) = head.framing.next(&mut buffer).map_err(Fault::Body)? {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
        }
    }
    Ok(head.map(|head| (head.status.as_u16(), head.fields.len(), body, head.framing.is_over())))
}
