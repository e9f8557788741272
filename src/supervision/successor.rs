//! A process that takes this one's place: it gets the listening sockets, and this one goes on until it serves.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::AsyncReadExt;

use super::given::SUCCEEDS;

/// What the successor says once it serves.
pub(super) const READY: u8 = b'R';

/// `sd_listen_fds(3)`: `SD_LISTEN_FDS_START`.
const FIRST_DESCRIPTOR: i32 = 3;

/// The program and the arguments by which this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// Why no successor serves. This process goes on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("the sockets cannot be passed on: {0}")]
    Sockets(io::Error),
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("it ended before it served ({0}); what it found wrong stands in the log above")]
    Ended(String),
    #[error("it did not serve within {} s ([server] handover_timeout)", .0.as_secs())]
    TooLate(Duration),
}

impl Program {
    /// To be called at the start: the file may have been replaced when it is needed, and is then to be found by its path.
    pub fn of_this_process() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, arguments: std::env::args_os().skip(1).collect() })
    }

    /// Starts a successor with these sockets, and waits until it serves; its process id.
    pub async fn succeed(&self, sockets: Vec<OwnedFd>, within: Duration) -> Result<u32, HandoverError> {
        let (near, far) = UnixStream::pair().map_err(HandoverError::Sockets)?;
        near.set_nonblocking(true).map_err(HandoverError::Sockets)?;
        let mut near = tokio::net::UnixStream::from_std(near).map_err(HandoverError::Sockets)?;
        let mut command = self.command(sockets, far.into());
        let spawned = tokio::task::spawn_blocking(move || command.spawn());
        let start = |source| HandoverError::Start { program: self.path.display().to_string(), source };
        let child = spawned.await.map_err(io::Error::other).and_then(|child| child).map_err(start)?;
        let heard = tokio::time::timeout(within, near.read_u8()).await;
        match heard {
            Ok(Ok(READY)) => Ok(child.id()),
            Ok(_) => Err(HandoverError::Ended(end(child).await)),
            Err(_) => {
                end(child).await;
                Err(HandoverError::TooLate(within))
            }
        }
    }

    fn command(&self, sockets: Vec<OwnedFd>, far: OwnedFd) -> Command {
        let descriptors = FIRST_DESCRIPTOR..;
        let mappings: Vec<FdMapping> = sockets
            .into_iter()
            .chain([far])
            .zip(descriptors)
            .map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd })
            .collect();
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env("LISTEN_FDS", mappings.len().to_string())
            .env(SUCCEEDS, "1")
            // Both name a process, and would have the successor take nothing, and feed no watchdog.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID");
        // The numbers are counted up, so that none comes twice.
        let _ = command.fd_mappings(mappings);
        command
    }
}

/// Has it end, and says how it did.
async fn end(mut child: Child) -> String {
    let ended = tokio::task::spawn_blocking(move || {
        // One that ended by itself keeps its own status.
        if child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = child.kill();
        child.wait()
    });
    match ended.await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(_)) | Err(_) => "its status is not known".to_owned(),
    }
}
