//! Accepts connections: so many at a time, and none that keeps us waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::{Extension, Router};
use futures_util::stream::{self, StreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;

use crate::clock::Stopwatch;

/// Connections at a time, over all listeners; further ones wait to be accepted. Far below what a process may usually open.
pub const CONNECTIONS_MAX: u32 = 512;
/// A request's head must be here after this long. A connection that says nothing is closed after it, too.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// The body of a request must be here after this long.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// A client that takes in nothing for this long has gone.
const STALL_MAX: Duration = Duration::from_secs(30);
/// After the stop has begun, a request that still runs is cut off after this long.
pub const DRAIN_MAX: Duration = Duration::from_secs(4);
/// After a failure to accept, such as too many open files, which an attempt at once would only repeat.
const ACCEPT_WAIT: Duration = Duration::from_millis(500);

/// What connections are accepted for; clones share the limit.
#[derive(Clone)]
pub struct Door {
    /// What answers a connection that begins now.
    pub router: watch::Receiver<Router>,
    /// True once no more connections are wanted.
    pub stop: watch::Receiver<bool>,
    /// As many as `CONNECTIONS_MAX` when nobody is connected.
    pub room: Arc<Semaphore>,
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender has gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Accepts until the stop. Connections then end with the request that they are at, or after `DRAIN_MAX`.
pub async fn accept(listener: TcpListener, door: Door) {
    loop {
        let next = async {
            let room = door.room.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, room))
        };
        let (accepted, room) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                None => return,
            },
            () = stopped(door.stop.clone()) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A short answer leaves at once; where that cannot be set it leaves a little later.
                let _ = stream.set_nodelay(true);
                // A request knows who sent it.
                let router = Router::new().fallback_service(door.router.borrow().clone()).layer(Extension(ConnectInfo(peer)));
                tokio::spawn(talk(stream, router, door.stop.clone(), room));
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn talk(stream: TcpStream, router: Router, stop: watch::Receiver<bool>, _room: OwnedSemaphorePermit) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let connection = http.serve_connection(TokioIo::new(Impatient::new(stream)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // How a client ends its connection is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(DRAIN_MAX, connection).await;
}

/// Lets a body fail that does not come in time.
pub async fn hurry_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let watch = Stopwatch::start();
    let pieces = |body: Body| {
        stream::unfold(Some(body.into_data_stream()), move |body| async move {
            let mut body = body?;
            match tokio::time::timeout(BODY_TIME_MAX.saturating_sub(watch.elapsed()), body.next()).await {
                Ok(Some(piece)) => Some((piece, Some(body))),
                Ok(None) => None,
                Err(late) => Some((Err(axum::Error::new(late)), None)),
            }
        })
    };
    next.run(request.map(|body| Body::from_stream(pieces(body)))).await
}

/// A stream that fails when the other side takes in nothing for `STALL_MAX`.
struct Impatient {
    stream: TcpStream,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: TcpStream) -> Impatient {
        Impatient { stream, stalled: None }
    }

    /// Passes on what became of a write, unless it has waited for too long.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_MAX)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(shut, context)
    }
}
