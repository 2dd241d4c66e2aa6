//! Where two runs of one seed part: the first event that differs.

/// Most events that are compared. A run has a few hundred thousand.
const MAX_EVENTS: usize = 4_000_000;
/// What usually makes a program nondeterministic in a simulation.
const CAUSES: &str = "usual causes: the order of a hash map, the system's time, threads, real files, addresses; a \
     program has `BTreeMap`, `host.now`, `host.wall_clock`, `host.draw`, `host.spawn` and `host.load` \
     instead";

/// Runs a seed and gives each event's text to a function.
pub(super) type Traced<'a> = dyn Fn(&mut dyn FnMut(&str)) + 'a;

/// Runs a seed twice more, and names the first event that differs.
pub(super) fn first_difference(run: &Traced<'_>) -> String {
    let mut events: Vec<String> = Vec::new();
    run(&mut |event| {
        if events.len() < MAX_EVENTS {
            events.push(event.to_owned());
        }
    });
    let (mut seen, mut differs) = (0, None);
    run(&mut |event| {
        if differs.is_none() && seen < MAX_EVENTS && events.get(seen).is_none_or(|one| one != event)
        {
            differs = Some((seen, event.to_owned()));
        }
        seen += 1;
    });
    if differs.is_none() && seen < events.len() {
        differs = Some((seen, "the end".to_owned()));
    }
    match differs {
        Some((index, other)) => {
            let one = events.get(index).map_or("the end", String::as_str);
            let number = index + 1;
            format!("event {number} is `{one}` in one run and `{other}` in another; {CAUSES}")
        }
        None => {
            format!("two more runs went the same way, so it does not happen each time; {CAUSES}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn of(runs: [&[&str]; 2]) -> String {
        let turn = Cell::new(0);
        first_difference(&|watch| {
            runs[turn.replace(turn.get() + 1)].iter().for_each(|event| watch(event));
        })
    }

    #[test]
    fn first_event_that_differs_is_named_with_usual_causes() {
        let said = of([&["boot", "send 1", "ack"], &["boot", "send 2", "ack"]]);
        assert!(
            said.starts_with("event 2 is `send 1` in one run and `send 2` in another; "),
            "{said}"
        );
        assert!(said.contains("hash map") && said.contains("the system's time"), "{said}");
        assert!(
            of([&["boot", "ack"], &["boot"]]).contains("event 2 is `ack` in one run and `the end`")
        );
        assert!(
            of([&["boot"], &["boot", "ack"]]).contains("event 2 is `the end` in one run and `ack`")
        );
        assert!(of([&["boot"], &["boot"]]).contains("two more runs went the same way"));
    }
}
