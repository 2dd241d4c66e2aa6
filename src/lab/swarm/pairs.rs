//! Draws faults that belong together: the second finds what the first one left.

use crate::scenario::Draws;

#[derive(Clone, Copy)]
enum Pair {
    /// A broker is killed, and loses power after it has begun again, perhaps before its next
    /// checkpoint: it recovers from what an unclean shutdown left.
    KillThenPower,
    /// The same after a clean stop: what it left must not count as clean twice.
    RestartThenPower,
    /// Power fails right after an acknowledgement, while no sync comes to an end.
    PowerWhileSyncsHang,
}

/// The `[[fault]]` tables of a pair, about a topic if there are several.
pub(super) fn pair(brokers: u64, topic: Option<&str>, draws: &mut Draws) -> String {
    let topic = topic.map_or_else(String::new, |topic| format!("topic = \"{topic}\"\n"));
    let pair = draws.weighted(&[
        (40, Pair::KillThenPower),
        (30, Pair::RestartThenPower),
        (30, Pair::PowerWhileSyncsHang),
    ]);
    let (at, host) = (draws.number(1000, 8000), draws.number(1, brokers));
    let survival = draws.weighted(&[(50, "nothing"), (50, "drawn")]);
    let down = draws.number(100, 3000);
    let first = match pair {
        Pair::KillThenPower => "kill",
        Pair::RestartThenPower => "restart",
        Pair::PowerWhileSyncsHang => return hanging((at, down), (&topic, survival), draws),
    };
    let (short, gap) = (draws.number(30, 600), draws.number(50, 2500));
    format!(
        "[[fault]]\nkind = \"{first}\"\ntarget = \"b{host}\"\n{topic}at = \"{at}ms\"\n\
         down = \"{short}ms\"\n\
         [[fault]]\nkind = \"power-loss\"\ntarget = \"b{host}\"\nsurvival = \"{survival}\"\n{topic}\
         at = \"{}ms\"\ndown = \"{down}ms\"\n",
        at + short + gap
    )
}

/// Syncs of all replicas hang, and then those that have the record lose power.
fn hanging((at, down): (u64, u64), (topic, survival): (&str, &str), draws: &mut Draws) -> String {
    let target = draws.one(&["\"leader\"", "\"all\"", "[\"leader\", \"followers\"]"]);
    let (stall, gap) = (draws.number(500, 3000), draws.number(100, 1500));
    let delay = draws.one(&[0, 5, 30]);
    format!(
        "[[fault]]\nkind = \"disk-stall\"\ntarget = \"all\"\nstall = \"300ms..{stall}ms\"\n{topic}\
         at = \"{at}ms\"\ndown = \"4s\"\n\
         [[fault]]\nkind = \"power-loss\"\ntarget = {target}\nsurvival = \"{survival}\"\n{topic}\
         at = \"{}ms\"\ndown = \"{down}ms\"\nafter = \"ack\"\ndelay = \"0ms..{delay}ms\"\n",
        at + gap
    )
}
