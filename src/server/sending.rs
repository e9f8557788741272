//! Writing to a plain socket: what lies in the memory file is sent by the kernel from there, the rest is copied.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::memory_file::MemoryFile;

/// Up to here slices are copied together before they are written.
const SMALL_BYTES_MAX: usize = 4 << 10;

/// As `poll_write_vectored`, with the first of `slices` that lies in `file` sent from there, behind those before it.
pub(super) fn poll_send(
    socket: &mut TcpStream,
    file: Option<&MemoryFile>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let placed = |file: &MemoryFile| {
        slices.iter().enumerate().find_map(|(number, slice)| Some((number, file.place(slice)?)))
    };
    let Some((file, (number, place))) = file.and_then(|file| Some((file, placed(file)?))) else {
        return poll_copy(socket, cx, slices);
    };
    let (before, bytes) = (&slices[..number], slices[number].len());
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || send(socket, file, before, place, bytes)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The file has turned itself off.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Pin::new(socket).poll_write_vectored(cx, slices);
            }
            outcome => return Poll::Ready(outcome),
        }
    }
}

/// Copies what is small together: to write one slice costs the kernel so much less than several that it pays up to a few
/// thousand bytes.
fn poll_copy(
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [slice] = slices {
        return Pin::new(socket).poll_write(cx, slice);
    }
    let bytes = slices.iter().try_fold(0_usize, |sum, slice| sum.checked_add(slice.len()));
    let Some(bytes) = bytes.filter(|bytes| *bytes <= SMALL_BYTES_MAX) else {
        return Pin::new(socket).poll_write_vectored(cx, slices);
    };
    let mut together = Vec::with_capacity(bytes);
    for slice in slices {
        together.extend_from_slice(slice);
    }
    Pin::new(socket).poll_write(cx, &together)
}

fn send(
    socket: &TcpStream,
    file: &MemoryFile,
    before: &[IoSlice<'_>],
    place: u64,
    bytes: usize,
) -> io::Result<usize> {
    let expected: usize = before.iter().map(|slice| slice.len()).sum();
    if expected == 0 {
        return file.send(socket, place, bytes);
    }
    // With word that more follows, a head goes into one segment with the body's first bytes.
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    let sent = sendmsg(socket, before, &mut SendAncillaryBuffer::default(), flags)?;
    if sent < expected {
        return Ok(sent);
    }
    // What is wrong will be wrong again when nothing stands before it.
    Ok(sent + file.send(socket, place, bytes).unwrap_or(0))
}
