//! Groups in the picture: a lane for each member, marks that stay inside, and the story of a record.

use super::look::{assert_readable, kinds, note_of};
use super::*;

/// Members of the group that is shown are readable, and so is the band below them.
fn look_at_members() -> String {
    note_of("groupNow().members.map((member) => state.lanes[member.host])", "rows", "BAND")
}

/// A page of the storm in which a record was processed twice, and what the command printed.
fn storm(dir: &Path) -> (PathBuf, String) {
    let draw = |seed| draw("scenarios/groups/rebalance-storm.toml", seed, dir);
    let twice = |(_, said): &(PathBuf, String)| said.contains("processed-at-most-once");
    (0..10).map(draw).find(twice).unwrap()
}

#[test]
fn storm_has_a_lane_per_member_and_every_mark_stays_inside() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = storm(dir.path());
    let size = file.metadata().unwrap().len();
    assert!(size < LARGEST, "{size} bytes");
    let script = format!(
        "{} look(0, END); note('whole');\
         const evicted = groupNow().members.flatMap((m) => m.events).find((e) => e.kind === 'evicted');\
         set('evicted', evicted.text);\
         look(evicted.at - 1e6, evicted.at + 1e6); note('near');\
         const hit = state.marks.find((m) => m.kind === 'evicted');\
         set('asked', explain(hit.x + hit.w / 2, hit.y + hit.h / 2).text);",
        look_at_members()
    );
    let touched = with_script(&file, &script);
    for (width, theme) in [(1400, "light"), (600, "dark")] {
        let page =
            Page::open_wide(&browser, &touched, &format!("theme={theme}"), width, ALL_AT_ONCE);
        let says = page.ready();
        assert_eq!((says["group"].as_str(), says["theme"].as_str()), ("shop", theme));
        assert_eq!(says["lanes"], "c1 b1 b2 b3 p1 p2 k1 k2 k3 k4 k5");
        for name in ["whole", "near"] {
            assert_readable(&says, name, 29);
        }
        let whole = kinds(&says, "whole");
        for kind in
            ["block", "shared", "share", "wait", "commit", "join", "leave", "state", "unowned"]
        {
            assert!(whole[kind] > 0, "no {kind}: {whole:?}");
        }
        assert!(kinds(&says, "near")["evicted"] > 0, "{says:?}");
        assert!(says["evicted"].contains("without k1"), "{}", says["evicted"]);
        assert!(says["asked"].contains(&says["evicted"]), "{}", says["asked"]);
        assert!(page.words().contains("Group shop: 5 members share 6 partitions"));
    }
}

#[test]
fn partition_has_one_owner_at_a_time_unless_it_is_marked() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = storm(dir.path());
    // What is drawn, against what the members' generations say.
    let script = "\
        const group = GROUPS[0], all = group.members.flatMap((m) => m.blocks.map((b) => [m.host, ...b]));\
        const over = all.filter(([host, p, from, until, , , shared]) => {\
          const others = all.filter((o) => o[0] !== host && o[1] === p && o[2] > from && o[2] < until).map((o) => o[2]);\
          return shared !== (others.length ? Math.min(...others) : -1);\
        });\
        const outside = group.members.filter((m) => m.blocks.some((b) => !m.shares.some((s) => s[0] <= b[1] && b[1] <= s[1])));\
        const back = group.members.filter((m) => m.shares.some((s, i) => i && (m.shares[i - 1][1] > s[0] || m.shares[i - 1][2] > s[2])));\
        set('wrong', over.length + ' ' + outside.length + ' ' + back.length);\
        const stable = group.states.filter((s) => s[1] === 3).map((s) => s[2]);\
        set('rising', stable.every((n, i) => !i || stable[i - 1] <= n));\
        set('stable', new Set(stable).size); set('preparing', group.states.filter((s) => s[1] === 1).length);\
        set('coordinator', PARTITIONS[group.coordinator].name); draw();";
    let says = Page::open(&browser, &with_script(&file, script), "", ALL_AT_ONCE).ready();
    assert_eq!((says["wrong"].as_str(), says["rising"].as_str()), ("0 0 0", "true"), "{says:?}");
    let count = |name: &str| says[name].parse::<u32>().unwrap();
    assert!(count("stable") >= 10 && count("preparing") >= 10, "{says:?}");
    assert!(says["coordinator"].starts_with("__consumer_offsets-"), "{says:?}");
}

#[test]
fn record_processed_twice_is_told_from_send_to_second_processing() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = storm(dir.path());
    let script = "\
        set('titles', DATA.steps.map((step) => step.title).join(';'));\
        const again = DATA.steps.findIndex((step) => step.title === 'Processed again');\
        set('again', DATA.steps[again].text);\
        choose(again); arrive(); draw();\
        set('names', HOSTS[DATA.steps[again].hosts[0]].name);";
    let page = Page::open(&browser, &with_script(&file, script), "", ALL_AT_ONCE);
    let says = page.ready();
    let mut titles = says["titles"].split(';');
    for title in ["Sent", "Committed", "Polled", "Processed", "Processed again"] {
        assert!(titles.any(|told| told == title), "no {title} in order: {}", says["titles"]);
    }
    assert!(says["titles"].contains("Taken over"), "{}", says["titles"]);
    assert!(says["again"].starts_with(&says["names"]), "{says:?}");
    assert_eq!(says["group"], "shop", "the step is shown in the group");
    assert!(page.0.contains("was processed twice"), "the headline says what happened");
}

#[test]
fn group_and_partitions_are_chosen_from_one_list() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = storm(dir.path());
    let script = "\
        const pick = byId('partition'), options = [...pick.options].map((o) => o.value + '=' + o.text);\
        set('options', options.join(';'));\
        const turn = (value) => { pick.value = value; pick.dispatchEvent(new Event('change')); draw(); };\
        turn(pick.options[1].value); set('then', document.documentElement.dataset.group + '/' + document.documentElement.dataset.partition);\
        set('legend', byId('legend').textContent.includes('in sync'));\
        turn('g0'); set('members', byId('legend').textContent.includes('evicted'));";
    let page = Page::open(&browser, &with_script(&file, script), "", ALL_AT_ONCE);
    let says = page.ready();
    assert!(says["options"].starts_with("g0=shop;p"), "{}", says["options"]);
    assert!(!says["options"].contains("__consumer_offsets"), "{}", says["options"]);
    assert_eq!(says["then"], "/orders-0");
    assert_eq!((says["legend"].as_str(), says["members"].as_str()), ("true", "true"));
    assert_eq!(says["group"], "shop");
    assert!(page.0.contains("Members of shop"), "the list in words");
    assert!(page.0.contains("learns that it has lost"), "its marks have texts");
}

/// Ten members, of which most come and go, in the protocol of KIP-848.
const TEN_MEMBERS: &str = "# Ten members.
name = \"ten-members\"
duration = \"60s\"
[cluster]
brokers = 3
[topic]
partitions = 20
replication.factor = 3
min.insync.replicas = 2
[[load]]
kind = \"producer\"
rate = \"50/s\"
[[load]]
kind = \"group\"
clients = 4
group.id = \"shop\"
group.protocol = \"consumer\"
[[load]]
kind = \"group\"
clients = 6
stays = \"4s..9s\"
away = \"500ms..3s\"
group.id = \"shop\"
group.protocol = \"consumer\"
[[fault]]
kind = \"kill\"
target = \"leader\"
at = \"20s\"
down = \"2s\"
[expect]
holds = [\"*\"]
allows = [\"processed-at-most-once\"]
";

#[test]
fn ten_members_for_a_minute_stay_readable_and_small() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("ten-members.toml");
    std::fs::write(&scenario, TEN_MEMBERS).unwrap();
    let (file, _) = draw(&scenario.display().to_string(), 0, dir.path());
    let size = file.metadata().unwrap().len();
    assert!(size < LARGEST, "{size} bytes");
    let script = format!(
        "{} show(DATA.partition, 0); look(0, END); note('whole');\
         set('phases', [...new Set(GROUPS[0].states.map((s) => PHASES[s[1]]))].sort().join(','));\
         set('protocol', GROUPS[0].protocol); set('left', GROUPS[0].left_out.join(' '));",
        look_at_members()
    );
    let touched = with_script(&file, &script);
    for width in [1400, 600] {
        let says = Page::open_wide(&browser, &touched, "", width, ALL_AT_ONCE).ready();
        assert!(says["lanes"].ends_with("k1 k2 k3 k4 k5 k6 k7 k8 k9 k10"), "{says:?}");
        let lowest: u32 = says["whole-low"].parse().unwrap();
        assert!(lowest >= 29, "{width}: {lowest} pixels");
        let fits = ["apart", "bottom", "wide"].map(|what| says[&format!("whole-{what}")].as_str());
        assert_eq!(fits, ["true"; 3], "{width}: {says:?}");
        assert_eq!((says["whole-outside"].as_str(), says["left"].as_str()), ("", "0 0"));
        assert_eq!(says["protocol"], "consumer");
        assert!(says["phases"].contains("reconciling,stable"), "{}", says["phases"]);
    }
}
