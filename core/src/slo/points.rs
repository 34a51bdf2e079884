//! Points of a ledger in little space: blocks of differences, with the first and the last point of each at hand.

use std::collections::VecDeque;

use crate::time::Timestamp;

use super::count::{Count, MILLION, Tally};

/// Points of one block: a look-up reads one block at most.
const BLOCK_POINTS: u32 = 64;

/// The cumulative counts at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub at: Timestamp,
    pub tally: Tally,
}

#[derive(Clone, Debug)]
struct Block {
    first: Point,
    last: Point,
    len: u32,
    bytes: Vec<u8>,
}

impl Block {
    fn points(&self) -> impl Iterator<Item = Point> {
        let mut bytes = self.bytes.as_slice();
        std::iter::successors(Some(self.first), move |point| {
            let apart = (!bytes.is_empty()).then(|| read(&mut bytes))?;
            let tally = Tally { good: read_count(&mut bytes), total: read_count(&mut bytes) };
            Some(Point { at: Timestamp(point.at.0 + apart as i64), tally: point.tally + tally })
        })
    }
}

/// Points in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    blocks: VecDeque<Block>,
}

impl Points {
    pub fn first(&self) -> Option<Point> {
        self.blocks.front().map(|block| block.first)
    }

    pub fn last(&self) -> Option<Point> {
        self.blocks.back().map(|block| block.last)
    }

    /// Appends a point that lies after the last one.
    pub fn push(&mut self, point: Point) {
        match self.blocks.back_mut().filter(|block| block.len < BLOCK_POINTS) {
            Some(block) => {
                debug_assert!(point.at > block.last.at, "points come in order of time");
                write(&mut block.bytes, point.at.since(block.last.at).0.unsigned_abs().into());
                write_count(&mut block.bytes, point.tally.good - block.last.tally.good);
                write_count(&mut block.bytes, point.tally.total - block.last.tally.total);
                block.last = point;
                block.len += 1;
            }
            None => {
                if let Some(full) = self.blocks.back_mut() {
                    full.bytes.shrink_to_fit();
                }
                self.blocks.push_back(Block { first: point, last: point, len: 1, bytes: Vec::new() });
            }
        }
    }

    /// Returns the last point at or before an instant.
    pub fn at(&self, at: Timestamp) -> Option<Point> {
        let after = self.blocks.partition_point(|block| block.first.at <= at);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        if block.last.at <= at {
            return Some(block.last);
        }
        block.points().take_while(|point| point.at <= at).last()
    }

    /// Returns all points in order of time.
    pub fn iter(&self) -> impl Iterator<Item = Point> {
        self.blocks.iter().flat_map(Block::points)
    }

    /// Drops blocks whose points all lie before an instant, but for one at or before it.
    pub fn drop_before(&mut self, at: Timestamp) {
        while self.blocks.get(1).is_some_and(|second| second.first.at <= at) {
            self.blocks.pop_front();
        }
    }

    /// Returns how many points are held.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.len as usize).sum()
    }

    /// Returns how many bytes the points take.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| size_of::<Block>() + block.bytes.capacity()).sum()
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> u128 {
    let (mut number, mut shift) = (0u128, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    number
}

/// Writes whole counts without their six zeros; the lowest bit tells.
fn write_count(bytes: &mut Vec<u8>, count: Count) {
    let (number, kind) = if count.0 % MILLION == 0 { (count.0 / MILLION, 0) } else { (count.0, 1) };
    let folded = ((number << 1) ^ (number >> 127)) as u128;
    write(bytes, folded << 1 | kind);
}

fn read_count(bytes: &mut &[u8]) -> Count {
    let number = read(bytes);
    let (folded, kind) = (number >> 1, number & 1);
    let number = (folded >> 1) as i128 ^ -((folded & 1) as i128);
    Count(if kind == 0 { number * MILLION } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_went_in() {
        let mut points = Points::default();
        let mut expected = Vec::new();
        let mut tally = Tally::ZERO;
        for step in 0..1000i64 {
            let odd = if step % 7 == 0 { 333_333 } else { 0 };
            tally += Tally { good: Count(i128::from(step - 3) * MILLION + odd), total: Count::whole(step * 1_000_003) };
            let point = Point { at: Timestamp(step * 15_000 + step % 3), tally };
            points.push(point);
            expected.push(point);
        }
        assert_eq!(points.at(Timestamp(-1)), None);
        for (index, point) in expected.iter().enumerate() {
            assert_eq!(points.at(point.at), Some(*point));
            let before = index.checked_sub(1).map(|index| expected[index]);
            assert_eq!(points.at(Timestamp(point.at.0 - 1)), before);
        }
        assert_eq!((points.len(), points.last()), (1000, expected.last().copied()));
        assert!(points.bytes() < 1000 * size_of::<Point>() / 2, "{}", points.bytes());
        points.drop_before(expected[500].at);
        assert!(points.first().unwrap().at <= expected[500].at && points.len() < 600);
        assert_eq!(points.at(expected[500].at), Some(expected[500]));
    }
}
