use std::io::Read;
use std::net::{TcpListener, TcpStream};

use super::*;

fn numbered(bytes: usize, first: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((first + at) % 251).unwrap()).collect()
}

fn block(file: &Arc<MemoryFile>, content: &[u8]) -> Block {
    let mut block = Block::new(Some(file), content.len());
    assert_eq!(block.write(content), content.len());
    block
}

fn file() -> Arc<MemoryFile> {
    MemoryFile::create(1 << 20).unwrap()
}

/// What the kernel says that the file takes in memory.
fn in_kernel(file: &MemoryFile) -> u64 {
    u64::try_from(rustix::fs::fstat(&file.file).unwrap().st_blocks).unwrap() * 512
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(true).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn bytes_that_wait_in_a_socket_survive_their_blocks_end_and_the_places_next_use() {
    const BYTES: usize = 128 << 10;
    let file = file();
    let (near, mut stalled) = connected();
    let content = numbered(BYTES, 7);
    let piece = block(&file, &content).piece(0);
    let place = file.place(&piece).unwrap();
    let sent = file.send(&near, place, piece.len()).unwrap();
    assert!(sent > 0);
    drop(piece);
    assert_eq!(file.held_bytes(), 0);
    for round in 0..3 {
        let next = block(&file, &numbered(BYTES, round)).piece(0);
        assert_eq!(file.place(&next), Some(place), "the place is used again");
    }
    drop(near);
    let mut received = Vec::new();
    stalled.read_to_end(&mut received).unwrap();
    assert!(received == content[..sent], "the client got bytes of a later block");
}

#[test]
fn bytes_that_wait_in_a_socket_survive_the_file() {
    let file = file();
    let (near, mut stalled) = connected();
    let content = numbered(64 << 10, 3);
    let piece = block(&file, &content).piece(0);
    let sent = file.send(&near, file.place(&piece).unwrap(), piece.len()).unwrap();
    drop((piece, file, near));
    let mut received = Vec::new();
    stalled.read_to_end(&mut received).unwrap();
    assert!(received == content[..sent]);
}

#[test]
fn memory_is_what_the_kernel_says_and_goes_back_with_the_last_piece() {
    let file = file();
    let first = block(&file, &numbered(40_000, 0));
    assert_eq!(file.held_bytes(), 40_960);
    assert_eq!(first.allocated(), 40_960);
    let second = block(&file, &numbered(BLOCK_BYTES_MAX, 0));
    assert_eq!(file.held_bytes(), 40_960 + BLOCK_BYTES_MAX as u64);
    assert_eq!(in_kernel(&file), file.held_bytes());
    let piece = first.piece(10).slice(5..20);
    drop(first);
    drop(second);
    assert_eq!((file.held_bytes(), in_kernel(&file)), (40_960, 40_960));
    assert_eq!(piece, numbered(15, 15));
    drop(piece);
    assert_eq!((file.held_bytes(), in_kernel(&file)), (0, 0));
}

#[test]
fn what_is_written_can_be_read_while_more_is_written() {
    for file in [Some(file()), None] {
        let content = numbered(50_000, 0);
        let mut block = Block::new(file.as_ref(), 50_000);
        let mut pieces = Vec::new();
        for part in content.chunks(777) {
            let from = block.len();
            assert_eq!(block.write(part), part.len());
            pieces.push(block.piece(from));
        }
        assert_eq!(block.write(b"more"), block.capacity() - 50_000);
        assert_eq!(pieces.concat(), content);
        assert_eq!(block.piece(0)[..50_000], content);
        assert_eq!(block.piece(0).as_ptr(), pieces[0].as_ptr());
    }
}

#[test]
fn only_large_slices_of_the_file_have_a_place() {
    let file = file();
    let piece = block(&file, &numbered(BLOCK_BYTES_MAX, 0)).piece(0);
    let place = file.place(&piece).unwrap();
    assert_eq!(file.place(&piece[100..]), Some(place + 100));
    assert_eq!(file.place(&piece[..SENT_BYTES_MIN - 1]), None);
    assert_eq!(file.place(&numbered(BLOCK_BYTES_MAX, 0)), None);
    let another = MemoryFile::create(1 << 20).unwrap();
    assert_eq!(another.place(&piece), None);
}

#[test]
fn blocks_too_small_or_too_large_or_without_a_place_lie_on_the_heap() {
    let file = file();
    for bytes in [0, 1, BLOCK_BYTES_MIN - 1, BLOCK_BYTES_MAX + 1] {
        let piece = block(&file, &numbered(bytes, 0)).piece(0);
        assert_eq!(file.place(&piece), None, "{bytes}");
        assert_eq!(piece, numbered(bytes, 0));
    }
    assert_eq!((file.held_bytes(), file.missed()), (0, 0));
    let places = usize::try_from(ROOM).unwrap() * (1 << 20) / BLOCK_BYTES_MAX;
    let mut blocks: Vec<_> = (0..places).map(|_| Block::new(Some(&file), BLOCK_BYTES_MAX)).collect();
    assert!(blocks.iter().all(|block| block.memory.place.is_some()));
    let beyond = block(&file, &numbered(BLOCK_BYTES_MAX, 0));
    assert!(beyond.memory.place.is_none());
    assert_eq!(file.missed(), 1);
    blocks.pop();
    assert!(
        block(&file, &numbered(BLOCK_BYTES_MAX, 0)).memory.place.is_some(),
        "a freed place is used again"
    );
}

#[test]
fn a_file_that_cannot_be_addressed_or_made_is_an_error_that_says_why() {
    let error = MemoryFile::create(u64::MAX).unwrap_err();
    assert!(error.to_string().contains("can be addressed"), "{error}");
    // No mapping is as large as half of the address space.
    let error = MemoryFile::create((1 << 46) / ROOM * 2).unwrap_err();
    assert!(matches!(error, MemoryFileError::System("mmap", _)), "{error}");
    // Nothing is kept: there is no file to map.
    assert!(matches!(MemoryFile::create(0), Err(MemoryFileError::System("mmap", _))));
}

#[test]
fn a_descriptor_that_takes_no_sendfile_turns_it_off() {
    let file = file();
    let piece = block(&file, &numbered(BLOCK_BYTES_MAX, 0)).piece(0);
    let place = file.place(&piece).unwrap();
    // A file that is opened to append takes none: "EINVAL out_fd has the O_APPEND flag set" (sendfile(2)).
    let path = std::env::temp_dir().join(format!("sluicegate-append-{}", std::process::id()));
    let wrong = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let error = file.send(&wrong, place, piece.len()).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(file.place(&piece), None, "from now on it is copied");
    assert_eq!(file.sent_bytes(), 0);
}
