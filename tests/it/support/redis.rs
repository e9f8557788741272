//! A `redis-server` of a test's own, and a wire to it that can be cut.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::program::is_wanted;

/// Ends with the test.
pub struct Redis {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Redis {
    /// A server without data; none where it is knowingly absent.
    pub async fn start() -> Option<Self> {
        if !is_wanted("redis-server", &["redis-server", "--version"]) {
            return None;
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let mut redis = Self { address, folder, process: None };
        redis.run().await;
        Some(redis)
    }

    /// Starts it where it was, with the data that were saved.
    pub async fn run(&mut self) {
        let port = self.address.port().to_string();
        let folder = self.folder.path().display().to_string();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--dir",
                &folder,
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(child.expect("redis-server starts"));
        let answers = async {
            while self.command(&["PING"]).await.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), answers).await.expect("redis-server answers");
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.process.as_ref().expect("it runs");
        let id = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("an id");
        kill_process(id, signal).expect("it takes a signal");
    }

    /// Has the data of this moment found at the next start.
    pub async fn save(&self) {
        self.command(&["SAVE"]).await.expect("it saves");
    }

    /// One command; none when it did not answer well.
    pub async fn command(&self, words: &[&str]) -> Option<redis::Value> {
        let client = redis::Client::open(format!("redis://{}", self.address)).expect("a URL");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        command.query_async(&mut connection).await.ok()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A wire between an edge and its Redis.
pub struct Wire {
    pub address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Wire {
    pub async fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let is_cut = Arc::new(watch::Sender::new(false));
        let state = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut cut = state.subscribe();
                tokio::spawn(async move {
                    if *cut.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(far).await else { return };
                    let mut near = near;
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, is_cut }
    }

    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}
