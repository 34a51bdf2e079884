//! Bytes on their way through a proxy: in order, each due at its instant, and never too many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A connection holds this much in each direction; then the sender has to wait.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// All connections together hold about this much. Above it each holds one piece at a time.
const TOTAL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Pieces that a queue holds, however small they are.
const PIECES_MAX: usize = 16 * 1024;

/// Some bytes that came at one time; none at all is the sender's end.
#[derive(Debug)]
struct Piece {
    due: Duration,
    len: usize,
}

#[derive(Debug)]
pub struct Queue {
    bytes: VecDeque<u8>,
    pieces: VecDeque<Piece>,
    /// What all queues of the process hold.
    total: Arc<AtomicUsize>,
}

impl Queue {
    pub fn new(total: Arc<AtomicUsize>) -> Queue {
        Queue { bytes: VecDeque::new(), pieces: VecDeque::new(), total }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns whether more may be taken in, when `most` bytes are enough.
    pub fn has_room(&self, most: usize) -> bool {
        let (len, pieces) = (self.bytes.len(), self.pieces.len());
        let is_small = len < most.min(QUEUE_BYTES_MAX) && pieces < PIECES_MAX;
        len == 0 || is_small && self.total.load(Ordering::Relaxed) < TOTAL_BYTES_MAX
    }

    /// Takes bytes in that are due at an instant, or not before those ahead of them. No bytes are the sender's end.
    pub fn push(&mut self, bytes: &[u8], due: Duration) {
        let due = self.pieces.back().map_or(due, |last| last.due.max(due));
        self.total.fetch_add(bytes.len(), Ordering::Relaxed);
        self.bytes.extend(bytes);
        self.pieces.push_back(Piece { due, len: bytes.len() });
    }

    /// Returns when the next bytes, or the end, are due.
    pub fn due(&self) -> Option<Duration> {
        self.pieces.front().map(|piece| piece.due)
    }

    /// Returns whether the sender's end is what comes next.
    pub fn is_at_end(&self) -> bool {
        self.pieces.front().is_some_and(|piece| piece.len == 0)
    }

    /// Returns bytes that are due at `now`, up to `most`; there may be more.
    pub fn front(&self, now: Duration, most: usize) -> &[u8] {
        let mut due = 0;
        for piece in &self.pieces {
            if piece.due > now || due >= most {
                break;
            }
            due += piece.len;
        }
        let (front, _) = self.bytes.as_slices();
        &front[..front.len().min(due).min(most)]
    }

    /// Lets go of the first bytes, which have been handed on.
    pub fn advance(&mut self, len: usize) {
        self.bytes.drain(..len);
        self.total.fetch_sub(len, Ordering::Relaxed);
        let mut left = len;
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else { break };
            let step = piece.len.min(left);
            piece.len -= step;
            left -= step;
            if piece.len == 0 {
                self.pieces.pop_front();
            }
        }
        if self.bytes.is_empty() {
            // What a burst took is given back.
            self.bytes.shrink_to(64 * 1024);
        }
    }

    /// Drops everything; returns whether there was anything.
    pub fn clear(&mut self) -> bool {
        let any = !self.is_empty();
        self.total.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.bytes = VecDeque::new();
        self.pieces.clear();
        any
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_and_when_they_are_due() {
        let total = Arc::new(AtomicUsize::new(0));
        let ms = Duration::from_millis;
        let mut queue = Queue::new(total.clone());
        queue.push(b"abc", ms(30));
        queue.push(b"de", ms(10));
        queue.push(b"f", ms(50));
        queue.push(b"", ms(50));
        assert_eq!(queue.front(ms(29), 99), b"");
        assert_eq!((queue.due(), queue.front(ms(30), 99)), (Some(ms(30)), &b"abcde"[..]), "no piece overtakes another");
        queue.advance(4);
        assert_eq!((queue.front(ms(49), 99), queue.due()), (&b"e"[..], Some(ms(30))));
        queue.advance(1);
        assert_eq!((queue.front(ms(50), 99), queue.is_at_end()), (&b"f"[..], false));
        queue.advance(1);
        assert!(queue.is_at_end() && !queue.is_empty() && total.load(Ordering::Relaxed) == 0);
        assert!(queue.clear() && queue.is_empty());
    }

    #[test]
    fn a_full_queue_has_no_room_and_an_empty_one_always_has() {
        let total = Arc::new(AtomicUsize::new(TOTAL_BYTES_MAX));
        let mut queue = Queue::new(total.clone());
        assert!(queue.has_room(1), "nobody starves while others hold all there is");
        queue.push(b"abc", Duration::ZERO);
        assert!(!queue.has_room(1000));
        total.store(3, Ordering::Relaxed);
        assert!(queue.has_room(4) && !queue.has_room(3));
        drop(queue);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
