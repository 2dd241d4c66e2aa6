//! Finds the messages among the bytes of a connection, and decides which are late or lost.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::side::Side;
use crate::base::{Seed, Stream};
use crate::sim::{Fate, Mishap, Part};
use crate::wire::frame::LENGTH_LEN;

/// The length of a frame, and what a request begins with: API key, version, correlation id.
const HEAD: usize = LENGTH_LEN + 8;
/// The same of an answer, which begins with the correlation id.
const ANSWER_HEAD: usize = LENGTH_LEN + 4;
/// Requests of a connection that are remembered: those without an answer are forgotten.
const REMEMBERED: usize = 1024;

/// The messages of a connection.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By the sending side.
    frames: [Frames; 2],
    /// Correlation ids and API keys of requests that were not answered, in order.
    asked: VecDeque<(i32, i16)>,
}

impl Messages {
    /// Bytes are sent; calls `found` for each message whose head ends in them, with the place of its
    /// first byte among them and its API key.
    pub fn pass(&mut self, side: Side, bytes: &[u8], mut found: impl FnMut(usize, i16)) {
        let (frames, asked) = (&mut self.frames[side as usize], &mut self.asked);
        let size = if side == Side::Client { HEAD } else { ANSWER_HEAD };
        frames.pass(bytes, size, |at, head| {
            let word = |at: usize| i32::from_be_bytes(std::array::from_fn(|i| head[at + i]));
            let api = match side {
                Side::Client => {
                    let api = i16::from_be_bytes([head[LENGTH_LEN], head[LENGTH_LEN + 1]]);
                    if asked.len() >= REMEMBERED {
                        asked.pop_front();
                    }
                    asked.push_back((word(LENGTH_LEN + 4), api));
                    Some(api)
                }
                Side::Server => {
                    // Answers keep the order of their requests, some of which have none.
                    let correlation = word(LENGTH_LEN);
                    let place = asked.iter().position(|(of, _)| *of == correlation);
                    place.and_then(|place| asked.drain(..=place).next_back()).map(|(_, api)| api)
                }
            };
            if let Some(api) = api {
                found(at, api);
            }
        });
    }
}

/// The frames of one direction.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD],
    /// How much of the head was sent.
    seen: usize,
    /// How much of the frame follows its head.
    left: usize,
    /// The bytes are not a frame: no message is found after them.
    lost: bool,
}

impl Frames {
    /// Calls `begins` with the place of a frame's first byte, or 0 if that was sent before, and its head.
    fn pass(&mut self, mut bytes: &[u8], size: usize, mut begins: impl FnMut(usize, &[u8; HEAD])) {
        let sent = bytes.len();
        while !bytes.is_empty() && !self.lost {
            if self.seen < size {
                let (count, at) = (bytes.len().min(size - self.seen), self.seen);
                self.head[at..at + count].copy_from_slice(&bytes[..count]);
                self.seen += count;
                bytes = &bytes[count..];
                if self.seen < size {
                    return;
                }
                let length =
                    self.head.first_chunk().map_or(0, |length| i32::from_be_bytes(*length));
                let length = usize::try_from(length).ok();
                match length.and_then(|length| (LENGTH_LEN + length).checked_sub(size)) {
                    Some(left) => self.left = left,
                    None => self.lost = true,
                }
                if !self.lost {
                    begins((sent - bytes.len()).saturating_sub(size), &self.head);
                }
            }
            let count = bytes.len().min(self.left);
            bytes = &bytes[count..];
            self.left -= count;
            if self.left == 0 {
                self.seen = 0;
            }
        }
    }
}

/// What happens to messages of one direction between two hosts.
#[derive(Debug, Default)]
pub(super) struct Mishaps {
    list: Vec<Mishap>,
    random: Option<ChaCha12Rng>,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    /// It is late by this many nanoseconds.
    Late(u64),
    /// It is lost with its connection.
    Lost,
}

impl Mishaps {
    /// From now on these happen. The draws of the ones before are continued.
    pub fn set(&mut self, list: Vec<Mishap>, seed: Seed) {
        self.list = list;
        if !self.list.is_empty() && self.random.is_none() {
            self.random = Some(seed.stream(Stream::named("leap mishaps")));
        }
    }

    /// Whether no message is looked for.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What happens to a message that this side sends.
    pub fn strike(&mut self, api: i16, side: Side) -> Option<Happens> {
        let part = if side == Side::Client { Part::Requests } else { Part::Answers };
        let random = self.random.as_mut()?;
        for mishap in self.list.iter().filter(|one| one.api == api && one.part == part) {
            if !random.random_bool(mishap.chance.clamp(0.0, 1.0)) {
                continue;
            }
            return Some(match &mishap.fate {
                Fate::Lost => Happens::Lost,
                Fate::Late(by) => {
                    let by = random.random_range(by.start().as_nanos()..=by.end().as_nanos());
                    Happens::Late(u64::try_from(by).unwrap_or(u64::MAX))
                }
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(api: i16, correlation: i32, body: usize) -> Vec<u8> {
        let length = i32::try_from(8 + body).unwrap();
        let head = [&length.to_be_bytes()[..], &api.to_be_bytes(), &[0, 4]].concat();
        [&head[..], &correlation.to_be_bytes(), &vec![7; body]].concat()
    }

    fn answer(correlation: i32, body: usize) -> Vec<u8> {
        let length = i32::try_from(4 + body).unwrap();
        [&length.to_be_bytes()[..], &correlation.to_be_bytes(), &vec![7; body]].concat()
    }

    fn found(messages: &mut Messages, side: Side, bytes: &[u8]) -> Vec<(usize, i16)> {
        let mut found = Vec::new();
        messages.pass(side, bytes, |at, api| found.push((at, api)));
        found
    }

    #[test]
    fn requests_are_found_by_key_and_answers_by_their_request() {
        let mut messages = Messages::default();
        assert_eq!(found(&mut messages, Side::Client, &request(26, 1, 10)), [(0, 26)]);
        let unanswered = request(0, 2, 0);
        assert_eq!(found(&mut messages, Side::Client, &unanswered), [(0, 0)]);
        assert_eq!(found(&mut messages, Side::Client, &request(27, 3, 10)), [(0, 27)]);
        let answers = [answer(1, 0), answer(3, 9), answer(9, 9)].concat();
        assert_eq!(found(&mut messages, Side::Server, &answers), [(0, 26), (8, 27)]);
        assert!(messages.asked.is_empty());
    }

    #[test]
    fn messages_are_found_in_any_pieces_and_once() {
        let requests = [request(26, 1, 5), request(27, 2, 0), request(28, 3, 100)];
        let (stream, begins) = (requests.concat(), [0, 17, 29]);
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            let mut all = Vec::new();
            for (index, piece) in stream.chunks(size).enumerate() {
                let before = index * size;
                let found = found(&mut messages, Side::Client, piece);
                all.extend(found.into_iter().map(|(at, api)| (before + at, api)));
            }
            assert_eq!(messages.asked, [(1, 26), (2, 27), (3, 28)]);
            // A frame that began in another piece is struck from the piece on in which its head ends.
            let at = begins.map(|begin| begin.max((begin + HEAD - 1) / size * size));
            assert_eq!(all, [(at[0], 26), (at[1], 27), (at[2], 28)], "{size}");
        }
    }

    #[test]
    fn bytes_that_are_no_frames_end_the_search() {
        let mut messages = Messages::default();
        assert_eq!(found(&mut messages, Side::Client, &[0xff; 20]), []);
        assert_eq!(found(&mut messages, Side::Client, &request(26, 1, 10)), []);
    }

    #[test]
    fn mishaps_strike_their_messages_with_their_share() {
        let late = Fate::Late(Duration::from_millis(1)..=Duration::from_millis(2));
        let mut mishaps = Mishaps::default();
        assert_eq!(mishaps.strike(26, Side::Client), None);
        mishaps.set(
            vec![
                Mishap { api: 26, part: Part::Requests, fate: late, chance: 0.5 },
                Mishap { api: 27, part: Part::Answers, fate: Fate::Lost, chance: 1.0 },
            ],
            Seed(1),
        );
        let drawn: Vec<_> = (0..1000).map(|_| mishaps.strike(26, Side::Client)).collect();
        let struck = drawn.iter().flatten().count();
        assert!((400..600).contains(&struck), "{struck}");
        let within = |one: &Happens| matches!(one, Happens::Late(1_000_000..=2_000_000));
        assert!(drawn.iter().flatten().all(within));
        assert_eq!(mishaps.strike(26, Side::Server), None);
        assert_eq!(mishaps.strike(27, Side::Server), Some(Happens::Lost));
        mishaps.set(Vec::new(), Seed(1));
        assert!(mishaps.is_empty());
        assert_eq!(mishaps.strike(27, Side::Server), None);
    }
}
