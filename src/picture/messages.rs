//! Requests and responses, read off the bytes that passed between hosts.

use std::collections::BTreeMap;

use crate::base::Instant;
use crate::sim::{HostId, Shot};

/// Bytes of a frame that identify it: length, API key, version, correlation id.
const HEAD: usize = 12;
/// A response's: length and correlation id.
const ANSWER_HEAD: usize = 8;

/// One request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub sent: Instant,
    /// When its last byte arrived.
    pub at: Instant,
    pub from: HostId,
    pub to: HostId,
    /// The API's number.
    pub key: i16,
    pub answer: bool,
    pub bytes: u32,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Reading {
    head: Vec<u8>,
    /// When the first byte of the frame was sent.
    sent: Instant,
    /// Bytes of the frame that are still to come, once its head is known.
    rest: usize,
    /// The message that the frame is.
    message: Option<Message>,
    /// Frames that can't be told apart any more are left out.
    lost: bool,
}

/// All messages of a run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<Message>,
    readings: BTreeMap<(u64, bool), Reading>,
    /// Open requests, by connection and correlation id.
    asked: BTreeMap<(u64, i32), i16>,
}

impl Messages {
    pub fn all(&self) -> &[Message] {
        &self.all
    }

    /// The next bytes of a connection.
    pub fn arrived(&mut self, shot: &Shot) {
        let Shot::Arrived { sent, at, from, to, connection, asks, bytes } = shot else { return };
        let reading = self.readings.entry((*connection, *asks)).or_default();
        let mut bytes = &bytes[..];
        while !bytes.is_empty() && !reading.lost {
            if reading.message.is_none() {
                if reading.head.is_empty() {
                    reading.sent = *sent;
                }
                let wanted = if *asks { HEAD } else { ANSWER_HEAD } - reading.head.len();
                let (head, after) = bytes.split_at(wanted.min(bytes.len()));
                reading.head.extend_from_slice(head);
                bytes = after;
                if head.len() < wanted {
                    return;
                }
                let number = |from: usize| {
                    let four = reading.head.get(from..from + 4).and_then(|b| b.try_into().ok());
                    i32::from_be_bytes(four.unwrap_or_default())
                };
                let length = usize::try_from(number(0)).unwrap_or(0) + 4;
                let Some(rest) = length.checked_sub(reading.head.len()) else {
                    reading.lost = true;
                    return;
                };
                let key = if *asks {
                    let key = (number(4) >> 16) as i16;
                    self.asked.insert((*connection, number(8)), key);
                    key
                } else {
                    self.asked.remove(&(*connection, number(4))).unwrap_or(-1)
                };
                reading.rest = rest;
                reading.message = Some(Message {
                    sent: reading.sent,
                    at: *at,
                    from: *from,
                    to: *to,
                    key,
                    answer: !asks,
                    bytes: u32::try_from(length).unwrap_or(u32::MAX),
                });
                reading.head.clear();
            }
            let passed = reading.rest.min(bytes.len());
            bytes = &bytes[passed..];
            reading.rest -= passed;
            if reading.rest == 0
                && let Some(message) = reading.message.take()
            {
                self.all.push(Message { at: *at, ..message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::api::key;

    fn shot(at: u64, asks: bool, bytes: &[u8]) -> Shot {
        let (from, to) = if asks { (HostId(4), HostId(1)) } else { (HostId(1), HostId(4)) };
        let bytes = Bytes::copy_from_slice(bytes);
        let (sent, at) = (Instant(at - 1), Instant(at));
        Shot::Arrived { sent, at, from, to, connection: 7, asks, bytes }
    }

    /// Produce version 9 with this correlation id, and ten bytes of body.
    fn request(id: u8) -> Vec<u8> {
        [&[0, 0, 0, 18, 0, 0, 0, 9, 0, 0, 0, id][..], &[1; 10]].concat()
    }

    fn answer(id: u8) -> Vec<u8> {
        [&[0, 0, 0, 6, 0, 0, 0, id][..], &[2; 2]].concat()
    }

    #[test]
    fn an_answer_is_named_after_its_question_though_bytes_come_in_pieces() {
        let mut messages = Messages::default();
        let both = [request(1), request(2)].concat();
        for (at, piece) in (10..).zip([&both[..3], &both[3..15], &both[15..40], &both[40..]]) {
            messages.arrived(&shot(at, true, piece));
        }
        messages.arrived(&shot(20, false, &[answer(2), answer(1)].concat()));
        let told: Vec<_> =
            messages.all().iter().map(|m| (m.key, m.answer, m.sent.0, m.at.0, m.bytes)).collect();
        assert_eq!(
            told,
            [
                (key::PRODUCE, false, 9, 12, 22),
                (key::PRODUCE, false, 11, 13, 22),
                (key::PRODUCE, true, 19, 20, 10),
                (key::PRODUCE, true, 19, 20, 10),
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_frame_end_the_reading_and_not_the_run() {
        let mut messages = Messages::default();
        messages.arrived(&shot(10, true, &[0; 64]));
        messages.arrived(&shot(11, true, &request(1)));
        assert!(messages.all().is_empty());
    }
}
