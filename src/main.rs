//! The program; everything it does is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes some forty small allocations, and this allocator takes a third of the time for them; musl's would take a
/// multiple.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sluicegate::cli::run()
}
