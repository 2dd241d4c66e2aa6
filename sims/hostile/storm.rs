//! Fires attacks at a server, each over its own connection, and checks in between that it is
//! healthy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use brokerquake::base::Seed;
use brokerquake::broker::ListenerType;
use brokerquake::io::{Address, Net, World, timeout};
use brokerquake::rpc::{Connection, Frames};
use brokerquake::wire::frame::decode_response;
use brokerquake::wire::messages::{ApiVersionsResponse, DescribeClusterRequest};
use tokio::io::AsyncWriteExt;

use super::attacks::{Attack, Expected, Kind, attack};
use super::samples::Target;

/// Time limit for a required reaction.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for an optional reaction.
const GLANCE: Duration = Duration::from_millis(20);
/// Attacks between two health checks.
const BETWEEN: u64 = 25;

/// The reaction of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// It sent a frame.
    Answered,
    /// It closed the connection, and sent nothing.
    Closed,
    /// Nothing before the timeout.
    Silent,
}

/// Counts of reactions by kind of attack.
pub type Tally = BTreeMap<(Kind, Reaction), u64>;

/// Fires the attacks `numbers` of a seed. Fails, naming the attack, when the server does not react
/// as required, or fails a health check.
pub async fn storm<W: World>(
    world: &W,
    to: &Address,
    listener: ListenerType,
    target: &Target,
    seed: Seed,
    numbers: Range<u64>,
) -> Result<Tally, String> {
    let mut tally = Tally::new();
    let last = numbers.end;
    for number in numbers {
        let attack = attack(seed, number, listener, target);
        let reaction = fire(world, to, &attack).await.map_err(|why| format!("{attack}: {why}"))?;
        *tally.entry((attack.kind, reaction)).or_default() += 1;
        if number % BETWEEN == 0 || number + 1 == last {
            let well = ask(world, to).await;
            well.map_err(|why| format!("{attack}, or one of {BETWEEN} before it: {why}"))?;
        }
    }
    Ok(tally)
}

/// A health check over a new connection.
pub async fn ask<W: World>(world: &W, to: &Address) -> Result<(), String> {
    let deadline = world.now() + PATIENCE;
    let failed = |error: &dyn std::fmt::Display| format!("the server is unhealthy: {error}");
    let connection = Connection::open(world, to, "well-meant", deadline)
        .await
        .map_err(|error| failed(&error))?;
    let request = DescribeClusterRequest::default();
    connection.call(&request, Some(0), deadline).await.map_err(|error| failed(&error))?;
    Ok(())
}

/// Sends one attack and the end of the stream, and returns the reaction.
pub async fn fire<W: World>(world: &W, to: &Address, attack: &Attack) -> Result<Reaction, String> {
    let deadline = world.now() + PATIENCE;
    let stream = timeout(world, deadline, world.net().connect(to)).await;
    let mut stream = match stream {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(format!("can't connect: {error}")),
        None => return Err("can't connect: no answer".into()),
    };
    // A server may close while the client still writes.
    let sent = async {
        let _ = stream.write_all(&attack.bytes).await;
        let _ = stream.shutdown().await;
    };
    if timeout(world, deadline, sent).await.is_none() {
        return Err("the server neither reads nor closes".into());
    }
    let must = attack.expected != Expected::Anything;
    let patience = if must { PATIENCE } else { GLANCE };
    let mut answers = Frames::new(stream, 100 << 20);
    let answer = timeout(world, world.now() + patience, answers.next()).await;
    let (reaction, frame) = match answer {
        Some(Ok(Some(frame))) => (Reaction::Answered, frame),
        Some(Ok(None) | Err(_)) => (Reaction::Closed, Default::default()),
        None => (Reaction::Silent, Default::default()),
    };
    match (attack.expected, reaction) {
        (Expected::Anything, _)
        | (Expected::Closed, Reaction::Closed)
        | (Expected::Answered, Reaction::Answered) => Ok(reaction),
        (Expected::Refused, Reaction::Answered) => {
            let answer = decode_response::<ApiVersionsResponse>(frame, 0);
            match answer {
                Ok((_, answer)) if answer.error_code == 35 => Ok(reaction),
                other => Err(format!("expected error 35 in version 0, got {other:?}")),
            }
        }
        (expected, reaction) => {
            Err(format!("expected {expected:?}, the server was {reaction:?}: {frame:?}"))
        }
    }
}
