//! The store as a registry: what one machine has, others pull; what they push, it has. Made for a classroom without the internet.
//!
//! | module | what it holds |
//! |---|---|
//! | `http` | one request and one answer on a connection, each part bounded |
//! | `route` | addresses of the distribution API |
//! | `answer` | what is said: documents, blobs, errors |
//! | `read` | pull and discovery |
//! | `artifacts` | what is pushed and is no image |
//! | `write` | push and delete; blobs wait in a folder of work until their manifest comes |
//!
//! A pushed image is entered as `HOST:PORT/name:tag`, where `HOST:PORT` is the address that this registry listens on: nobody's push
//! changes what `busybox` means on this machine. For pulls all images are there, by their paths.
//!
//! What a real registry would do and this does not: know users, speak TLS.
//!
//! Source: OCI distribution specification, `spec.md`.

mod answer;
mod artifacts;
mod http;
mod read;
mod route;
mod write;

use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::store::Store;
use crate::work::Work;
use answer::Answer;
use http::Connection;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use write::Upload;

/// Connections at once; one more is closed at once.
const MOST_CONNECTIONS: usize = 128;
/// On one connection; then the client may open another.
const MOST_REQUESTS: usize = 10_000;
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Names the containers that use an image, so that nobody deletes it under them.
pub type InUse = Box<dyn Fn(&Digest) -> Vec<String> + Send + Sync>;

/// A registry on an address.
pub struct Server {
    store: Store,
    listener: TcpListener,
    /// `HOST:PORT`, the registry in the names of what is pushed.
    own: String,
    read_only: bool,
    in_use: InUse,
    staging: Work,
    uploads: Mutex<HashMap<String, Arc<Mutex<Upload>>>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("own", &self.own).field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`; nobody is answered yet.
    ///
    /// # Errors
    /// [`Error::Io`] for an address that cannot be had.
    pub fn bind(store: Store, address: SocketAddr, read_only: bool, in_use: InUse) -> Result<Self, Error> {
        let listener = TcpListener::bind(address).doing("listen on", address.to_string())?;
        let address = listener.local_addr().doing("look at", address.to_string())?;
        let own = match address.ip().is_loopback() {
            true => address.to_string(),
            false => format!("localhost:{}", address.port()),
        };
        let staging = Work::unique(&store.layout.tmp())?;
        Ok(Self {
            store,
            listener,
            own,
            read_only,
            in_use,
            staging,
            uploads: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`Error::Io`], getsockname(2).
    pub fn address(&self) -> Result<SocketAddr, Error> {
        self.listener.local_addr().doing("look at", self.own.clone())
    }

    /// The registry in the names of images that are pushed here.
    #[must_use]
    pub fn own_name(&self) -> &str {
        &self.own
    }

    /// Answers until [`Server::stop`], each client in a thread of its own. What unfinished pushes have brought is removed then.
    pub fn run(self: &Arc<Self>) {
        for stream in self.listener.incoming() {
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let Ok(stream) = stream else { continue };
            if self.connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let server = Arc::clone(self);
            let spawned = std::thread::Builder::new().spawn(move || {
                let _client_is_gone = server.serve(stream);
                server.connections.fetch_sub(1, Ordering::Relaxed);
            });
            if spawned.is_err() {
                self.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
        // What cannot be removed is a leftover that `check` names.
        let _left = std::fs::remove_dir_all(self.staging.path());
    }

    /// Ends [`Server::run`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _woken = self.listener.local_addr().and_then(|address| {
            let address = match address.ip().is_unspecified() {
                true => SocketAddr::from(([127, 0, 0, 1], address.port())),
                false => address,
            };
            TcpStream::connect_timeout(&address, Duration::from_secs(1))
        });
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection::new(stream);
        for _ in 0..MOST_REQUESTS {
            let mut request = match connection.request()? {
                Some(Ok(request)) => request,
                Some(Err(why)) => {
                    connection.answer(&Answer::bad_request(why), false, false)?;
                    return connection.close();
                }
                None => return Ok(()),
            };
            let answer = self.answer(&mut request);
            let head_only = request.method == "HEAD";
            // A body that nobody wanted cannot be told from the next request.
            let last = !request.is_read() || request.closes;
            connection.answer(&answer, head_only, !last)?;
            if last {
                return connection.close();
            }
        }
        Ok(())
    }

    fn answer(&self, request: &mut http::Request<'_>) -> Answer {
        let Some(route) = route::Route::parse(&request.path) else {
            return Answer::not_found("UNSUPPORTED", "there is nothing at this address");
        };
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        if self.read_only && !reads {
            return Answer::error(405, "UNSUPPORTED", "this registry is read-only");
        }
        let result = if reads { self.read(&route, request) } else { self.write(route, request) };
        result.unwrap_or_else(|error| Answer::of(&error))
    }

    /// Where a blob is: with those of the images, of an unfinished push, or of what is no image.
    fn blob(&self, digest: Digest) -> Option<PathBuf> {
        let places = [self.store.layout.blob(digest), self.staged(digest)];
        places.into_iter().find(|path| path.is_file()).or_else(|| self.artifact_blob(digest))
    }

    fn staged(&self, digest: Digest) -> PathBuf {
        self.staging.path().join(digest.hex())
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Mutex<Upload>>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
