//! One connection through a proxy.
//!
//! A fault that swallowed bytes has made a hole in the stream, so such a connection can never go on: when the fault ends it is cut by a
//! reset, and the client has to connect anew. An orderly end would pass the torn stream off as a whole one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
use tocsin_core::run::lever::Direction;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::queue::{QUEUE_BYTES_MAX, Queue};
use super::table::{Effect, Standing, Table, Traveller};
use crate::id;

/// What is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// The service must take a connection within this.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// With a bandwidth, bytes go out in pieces of this length of time, and so much may be caught up.
const PIECE: Duration = Duration::from_millis(20);
/// Ends that have gone away without a word are noticed after about two minutes, so that they hold no room for ever.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_COUNT: u32 = 4;

/// Why a connection ends before both sides have said all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Those who see a reset; the other side sees an end.
    Reset(Direction),
}

/// What all connections of a proxy have in common.
#[derive(Clone, Debug)]
pub struct Link {
    upstream: Arc<str>,
    table: Arc<Table>,
    /// Bytes in all queues.
    total: Arc<AtomicUsize>,
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Small pieces are not held back to be sent together: whoever sent them has decided that.
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(())
}

/// Has the stream end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    // A socket that cannot be told is broken already.
    let _ = stream.set_zero_linger();
}

impl Link {
    pub fn new(upstream: String, table: Arc<Table>) -> Link {
        Link { upstream: upstream.into(), table, total: Arc::default() }
    }

    /// Carries a connection to its end.
    pub async fn carry(&self, mut client: TcpStream) {
        let traveller = Traveller::new(id::seed(), self.table.now());
        let mut service = None;
        let ended = tokio::select! {
            ended = self.relay(&mut client, &mut service, &traveller) => ended,
            ended = self.wait_for_cut(&traveller) => ended,
        };
        if let Err(End::Reset(direction)) = ended {
            if direction.includes(Direction::Downstream) {
                reset(&client);
            }
            if let Some(service) = service.as_ref().filter(|_| direction.includes(Direction::Upstream)) {
                reset(service);
            }
        }
    }

    /// Returns when a fault cuts the connection.
    async fn wait_for_cut(&self, traveller: &Traveller) -> Result<(), End> {
        let mut changes = self.table.subscribe();
        loop {
            let cut = changes.borrow_and_update().cut(traveller);
            let wait = cut.as_ref().map_or(Duration::MAX, |cut| cut.at.saturating_sub(self.table.now()));
            tokio::select! {
                _ = changes.changed() => continue,
                () = tokio::time::sleep(wait), if cut.is_some() => {}
            }
            if let Some(cut) = cut {
                traveller.feel(&cut.fault);
                return Err(End::Reset(cut.direction));
            }
        }
    }

    async fn relay(&self, client: &mut TcpStream, service: &mut Option<TcpStream>, traveller: &Traveller) -> Result<(), End> {
        let broken = |_| End::Reset(Direction::Both);
        prepare(client).map_err(broken)?;
        let effect = self.table.subscribe().borrow().effect(traveller, Direction::Upstream);
        if effect.swallows {
            return self.swallow(client, traveller).await;
        }
        let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(&*self.upstream)).await;
        // A client whose connection the service refuses is told by a reset; the kernel has accepted it already.
        let connected = connecting.unwrap_or_else(|late| Err(late.into())).map_err(|error| {
            tracing::debug!(upstream = &*self.upstream, %error, "the service cannot be reached");
            End::Reset(Direction::Both)
        })?;
        let service = service.insert(connected);
        prepare(service).map_err(broken)?;
        let ((from_client, to_client), (from_service, to_service)) = (client.split(), service.split());
        let upstream = self.pump(from_client, to_service, traveller, Direction::Upstream);
        let downstream = self.pump(from_service, to_client, traveller, Direction::Downstream);
        tokio::try_join!(upstream, downstream).map(|_| ())
    }

    /// Takes what a client says to nobody, until the fault ends or the client goes away.
    async fn swallow(&self, client: &mut TcpStream, traveller: &Traveller) -> Result<(), End> {
        let mut changes = self.table.subscribe();
        let (mut bytes, mut is_open) = (vec![0; READ_BYTES], true);
        loop {
            let effect = changes.borrow_and_update().effect(traveller, Direction::Upstream);
            if !effect.swallows {
                return Err(End::Reset(Direction::Both));
            }
            // An opening that comes to nothing is felt, though no byte followed it.
            effect.faults.iter().for_each(|fault| traveller.feel(fault));
            tokio::select! {
                _ = changes.changed() => {}
                read = client.read(&mut bytes), if is_open => match read {
                    Ok(0) => is_open = false,
                    Ok(len) => effect.faults.iter().for_each(|fault| fault.counters.count(len)),
                    Err(_) => return Err(End::Reset(Direction::Both)),
                },
            }
        }
    }

    /// Hands bytes on in one direction until the sender's end has been handed on.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        traveller: &Traveller,
        way: Direction,
    ) -> Result<(), End> {
        let broken = |_| End::Reset(Direction::Both);
        let mut flow = Flow::new(self, traveller, way);
        let mut bytes = vec![0; READ_BYTES];
        loop {
            if flow.lost && !flow.effect.swallows {
                return Err(End::Reset(Direction::Both));
            }
            let now = self.table.now();
            let write_at = flow.write_at();
            let is_due = write_at.is_some_and(|at| at <= now);
            let (piece_len, may_read) = (flow.piece_len(), flow.may_read());
            if is_due && flow.queue.is_at_end() {
                return to.shutdown().await.map_err(broken);
            }
            tokio::select! {
                biased;
                _ = flow.changes.changed() => flow.look(),
                wrote = to.write(flow.queue.front(now, piece_len)), if is_due => flow.wrote(wrote.map_err(broken)?, now),
                read = from.read(&mut bytes), if may_read => {
                    let read = read.map_err(broken)?;
                    flow.take(&bytes[..read], &to, self.table.now());
                }
                () = tokio::time::sleep(write_at.unwrap_or_default().saturating_sub(now)), if write_at.is_some() && !is_due => {}
            }
        }
    }
}

/// One direction of a connection.
struct Flow<'f> {
    traveller: &'f Traveller,
    way: Direction,
    changes: watch::Receiver<Standing>,
    effect: Effect,
    queue: Queue,
    /// The sender has said all.
    ended: bool,
    /// Something was swallowed, so nothing that follows makes sense.
    lost: bool,
    /// With a bandwidth, nothing goes out before this.
    next_write: Duration,
}

impl<'f> Flow<'f> {
    fn new(link: &Link, traveller: &'f Traveller, way: Direction) -> Flow<'f> {
        let mut flow = Flow {
            traveller,
            way,
            changes: link.table.subscribe(),
            effect: Effect::default(),
            queue: Queue::new(link.total.clone()),
            ended: false,
            lost: false,
            next_write: Duration::ZERO,
        };
        flow.look();
        flow
    }

    /// Learns which faults stand now.
    fn look(&mut self) {
        self.effect = self.changes.borrow_and_update().effect(self.traveller, self.way);
        if self.effect.swallows && self.queue.clear() {
            self.lost = true;
        }
    }

    /// Returns when the queue's front goes out; None for an empty queue.
    fn write_at(&self) -> Option<Duration> {
        let due = self.queue.due()?;
        Some(if self.effect.rate.is_some() { due.max(self.next_write) } else { due })
    }

    /// Returns how many bytes go out at a time.
    fn piece_len(&self) -> usize {
        let rate = self.effect.rate.unwrap_or(u64::MAX) as f64;
        ((rate * PIECE.as_secs_f64()) as usize).clamp(1, READ_BYTES)
    }

    /// A line that is slow or long holds as many bytes as are on their way at a time, and no more: the sender is to feel it.
    fn may_read(&self) -> bool {
        let delay = (self.effect.delay + self.effect.jitter).as_secs_f64();
        let most = match self.effect.rate {
            Some(rate) => (rate as f64 * delay) as usize,
            None if self.effect.delays() => QUEUE_BYTES_MAX,
            None => 0,
        };
        !self.ended && self.queue.has_room(most.max(READ_BYTES))
    }

    fn wrote(&mut self, len: usize, now: Duration) {
        self.queue.advance(len);
        if let Some(rate) = self.effect.rate {
            let cost = Duration::from_secs_f64(len as f64 / rate as f64);
            self.next_write = self.next_write.max(now.saturating_sub(PIECE)) + cost;
        }
    }

    /// Takes what was read; nothing is the sender's end. What no fault concerns goes out at once, as far as it can.
    fn take(&mut self, bytes: &[u8], to: &WriteHalf<'_>, now: Duration) {
        self.ended = bytes.is_empty();
        // An end that is late or lost harms nobody who still speaks, so it does not prove a fault.
        for fault in self.effect.faults.iter().filter(|_| !bytes.is_empty()) {
            self.traveller.feel(fault);
            fault.counters.count(bytes.len());
        }
        if self.effect.swallows {
            self.lost = true;
            return;
        }
        let mut rest = bytes;
        if self.effect.is_plain() && self.queue.is_empty() && !self.ended {
            // What cannot go out now, or not at all, waits in the queue, where the next attempt finds out which.
            rest = &bytes[to.try_write(bytes).unwrap_or(0)..];
            if rest.is_empty() {
                return;
            }
        }
        let jitter = match self.effect.jitter.as_micros() as u64 {
            0 => Duration::ZERO,
            most => Duration::from_micros(id::jitter(most + 1)),
        };
        self.queue.push(rest, now + self.effect.delay + jitter);
    }
}
