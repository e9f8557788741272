//! Other people's programs that tests need; one may be knowingly absent.

use std::process::{Child, Command, Stdio};

/// The variable that names the programs that are knowingly absent, separated by commas.
const SKIP: &str = "SLUICEGATE_SKIP_PROGRAMS";

/// Whether a test that needs `name` runs. `probe` is a command that fails where it is not installed.
#[expect(clippy::disallowed_methods, reason = "the runner of the tests says here what it could not install")]
pub fn is_wanted(name: &str, probe: &[&str]) -> bool {
    let skipped = std::env::var(SKIP).unwrap_or_default();
    if skipped.split(',').any(|skipped| skipped.trim() == name) {
        println!("not run: {SKIP} names {name}");
        return false;
    }
    let found = Command::new(probe[0]).args(&probe[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "{name} is not installed; {SKIP}={name} skips this test"
    );
    true
}

/// A running program, which ends with the test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
