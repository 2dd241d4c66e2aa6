//! Requests and responses, read off the bytes that passed between hosts.

use std::collections::BTreeMap;

use super::ledger::{Verified, verified};
use crate::base::Instant;
use crate::sim::{HostId, Shot};
use crate::wire::ErrorCode;
use crate::wire::api::key as api;

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
    /// Of a response that a coordinator gives to a member about its membership.
    pub error: Option<ErrorCode>,
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
    /// The first bytes of the body, as far as the error code, and where that is.
    body: Vec<u8>,
    error_at: Option<usize>,
    /// The frame so far, without its length, if it is a request that may name transactions.
    whole: Option<Vec<u8>>,
    /// Frames that can't be told apart any more are left out.
    lost: bool,
}

impl Reading {
    /// Takes the next bytes of the body in.
    fn take(&mut self, bytes: &[u8]) {
        self.rest -= bytes.len();
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(bytes);
        }
        let wanted = self.error_at.map_or(0, |at| (at + 2).saturating_sub(self.body.len()));
        self.body.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
    }

    /// The message, once its last byte has arrived.
    fn finish(&mut self, at: Instant) -> Option<Message> {
        let message = self.message.take_if(|_| self.rest == 0)?;
        let code = self.error_at.and_then(|at| self.body.get(at..at + 2)?.try_into().ok());
        self.body.clear();
        let error = code.map(|code| ErrorCode::from_code(i16::from_be_bytes(code)));
        Some(Message { at, error, ..message })
    }
}

/// Where a response of this version has its error code: after the tags of its header, which are
/// empty, and the throttle time.
fn error_at(key: i16, version: i16) -> Option<usize> {
    let (throttled, flexible) = match key {
        api::JOIN_GROUP => (2, 6),
        api::SYNC_GROUP | api::HEARTBEAT => (1, 4),
        api::CONSUMER_GROUP_HEARTBEAT => (0, 0),
        _ => return None,
    };
    Some(usize::from(version >= flexible) + if version >= throttled { 4 } else { 0 })
}

/// All messages of a run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<Message>,
    /// What leaders asked coordinators of transactions.
    verified: Vec<Verified>,
    readings: BTreeMap<(u64, bool), Reading>,
    /// API and version of open requests, by connection and correlation id.
    asked: BTreeMap<(u64, i32), (i16, i16)>,
}

impl Messages {
    pub fn all(&self) -> &[Message] {
        &self.all
    }

    /// What leaders asked coordinators of transactions, in the order of arrival.
    pub fn verified(&self) -> &[Verified] {
        &self.verified
    }

    #[cfg(test)]
    pub fn of(all: Vec<Message>) -> Self {
        Self { all, ..Self::default() }
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
                    let (key, version) = ((number(4) >> 16) as i16, number(4) as i16);
                    self.asked.insert((*connection, number(8)), (key, version));
                    reading.error_at = None;
                    let names = key == api::ADD_PARTITIONS_TO_TXN;
                    reading.whole = names.then(|| reading.head.get(4..).unwrap_or(&[]).to_vec());
                    key
                } else {
                    let of = self.asked.remove(&(*connection, number(4)));
                    let (key, version) = of.unwrap_or((-1, 0));
                    reading.error_at = error_at(key, version);
                    key
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
                    error: None,
                });
                reading.head.clear();
            }
            let (body, after) = bytes.split_at(reading.rest.min(bytes.len()));
            reading.take(body);
            bytes = after;
            if let Some(message) = reading.finish(*at) {
                self.all.push(message);
                if let Some(frame) = reading.whole.take() {
                    self.verified.extend(verified(*at, (*from, *to), frame));
                }
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
    fn answers_about_a_membership_have_their_error_in_every_version() {
        let versions = [
            (api::JOIN_GROUP, [(1, 0), (2, 4), (6, 5)]),
            (api::HEARTBEAT, [(0, 0), (1, 4), (4, 5)]),
            (api::SYNC_GROUP, [(0, 0), (3, 4), (5, 5)]),
            (api::CONSUMER_GROUP_HEARTBEAT, [(0, 5), (1, 5), (1, 5)]),
        ];
        for (key, versions) in versions {
            for (version, before) in versions {
                let mut messages = Messages::default();
                let head = [0, 0, 0, 8, 0, key as u8, 0, version, 0, 0, 0, 1];
                messages.arrived(&shot(10, true, &head));
                let body = [vec![0; before], vec![0, 25, 7, 7, 7]].concat();
                let length = u8::try_from(body.len() + 4).unwrap();
                let answer = [&[0, 0, 0, length, 0, 0, 0, 1][..], &body].concat();
                let (first, second) = answer.split_at(9 + before);
                messages.arrived(&shot(20, false, first));
                messages.arrived(&shot(21, false, second));
                let error = messages.all().last().unwrap().error;
                assert_eq!(error, Some(ErrorCode::UnknownMemberId), "{key} {version}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_frame_end_the_reading_and_not_the_run() {
        let mut messages = Messages::default();
        messages.arrived(&shot(10, true, &[0; 64]));
        messages.arrived(&shot(11, true, &request(1)));
        assert!(messages.all().is_empty());
    }
}
