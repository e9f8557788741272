//! An origin that is a script: each test says what it does with a connection once a request came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// A scripted origin on a free port.
pub struct ScriptedOrigin {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl ScriptedOrigin {
    /// Runs `script` on every connection whose first request's head was read.
    pub async fn start<S, F>(script: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (script, counted) = (script.clone(), counted.clone());
                tokio::spawn(async move {
                    if read_head(&mut stream).await {
                        counted.fetch_add(1, Ordering::SeqCst);
                        script(stream).await;
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// First requests of connections so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}
