//! No header of the PROXY protocol makes its reader panic; one that is complete is so however it was cut, and ends within its
//! bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::server::proxy_protocol::header::{Progress, read};

const BYTES_MAX: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, BYTES_MAX);
    if let Ok(Progress::Complete { bytes: count, announced }) = whole {
        assert!(count <= bytes.len() && count <= BYTES_MAX);
        for cut in 0..count {
            assert_eq!(read(&bytes[..cut], BYTES_MAX), Ok(Progress::Unfinished));
        }
        assert_eq!(read(&bytes[..count], BYTES_MAX), Ok(Progress::Complete { bytes: count, announced }));
    }
});
