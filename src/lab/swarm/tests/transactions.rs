//! Transactions are drawn in all their kinds, and the contract says when their outcomes may be lost.

use super::*;

/// A load that writes in transactions.
const TRANSACTIONAL: &str = "[[load]]\nkind = \"transactional\"\ntransactional.id = \"till\"\n";

#[test]
fn outcomes_of_transactions_are_lost_only_with_the_log_of_their_coordinator() {
    let beside =
        |topic: &str, fault: &str| contract(topic, "all", &(TRANSACTIONAL.to_owned() + fault));
    assert_eq!(beside(RF3_MIN2, ""), []);
    for one in [wild("kill", ALL), wild("power-loss", LEADER), settled("power-loss", LEADER)] {
        assert_eq!(beside(RF3_MIN2, &one), [], "{one}");
    }
    let all = settled("power-loss", ALL);
    assert_eq!(beside(RF3_MIN2, &all), [Loss::PowerLoss, Loss::ForgottenTransactions]);
    assert_eq!(contract(RF3_MIN2, "all", &all), [Loss::PowerLoss], "without transactions");
    // Records are synced first, and entries of coordinators are not.
    let synced = format!("{RF3_MIN2}\nflush.before.ack = true");
    assert_eq!(beside(&synced, &all), [Loss::ForgottenTransactions]);
    // Their partitions are never elected uncleanly, whatever is the default of others.
    let unclean = format!("{RF3_MIN2}\nunclean.leader.election.enable = true");
    assert_eq!(beside(&unclean, &wild("kill", LEADER).repeat(2)), [Loss::UncleanElection]);
}

#[test]
fn own_settings_of_the_coordinators_log_count() {
    let of = |keys: &str| {
        let text = format!(
            "name = \"x\"\n[cluster]\nbrokers = 3\n{keys}\n[topic]\n{RF3_MIN2}\n{TRANSACTIONAL}{}\
             [expect]\nholds = [\"*\"]\n",
            wild("power-loss", LEADER) + &wild("kill", "\"any\"")
        );
        let scenario = Scenario::parse("x.toml", &text).unwrap();
        let plan = Plan::draw(&scenario, Seed(0));
        Contract::of(&scenario, &plan.faults).losses.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of(""), [Loss::PowerLoss, Loss::ForgottenTransactions]);
    assert_eq!(of("log.flush.before.ack = true"), []);
    assert_eq!(of("transaction.version = 1\nlog.flush.before.ack = true"), []);
    let single = "transaction.state.log.replication.factor = 1\ntransaction.state.log.min.isr = 1";
    assert_eq!(of(single), [Loss::PowerLoss, Loss::ForgottenTransactions]);
}

#[test]
fn late_requests_of_transactions_are_judged_only_where_each_has_an_epoch() {
    let left = |version: &str, fault: &str| {
        let text = format!(
            "name = \"x\"\n[cluster]\nbrokers = 3\n{version}\n[topic]\n{RF3_MIN2}\n\
             {TRANSACTIONAL}{fault}[expect]\nholds = [\"*\"]\n"
        );
        let scenario = Scenario::parse("x.toml", &text).unwrap();
        let mut faults = Plan::draw(&scenario, Seed(0)).faults;
        Contract::without_unjudged(&scenario, &mut faults).into_keys().collect::<Vec<_>>()
    };
    let late = wild("late-messages", "\"producers\"") + "latency = \"1s..2s\"\n";
    let (end, fetch) = (late.clone() + "api = \"EndTxn\"\n", late + "api = \"Fetch\"\n");
    let lost = wild("lost-messages", "\"producers\"") + "api = \"EndTxn\"\n";
    assert_eq!(left("transaction.version = 1", &end), [Unjudged::LateInOldTransactions]);
    assert_eq!(left("transaction.version = 0", &end), [Unjudged::LateInOldTransactions]);
    assert_eq!(left("", &end), []);
    for judged in [end + "what = \"answers\"\n", fetch, lost] {
        assert_eq!(left("transaction.version = 1", &judged), []);
    }
}

#[test]
fn held_back_requests_end_later_transactions_only_where_they_share_an_epoch() {
    let losses = |version: &str, fault: &str| {
        let text = format!(
            "name = \"x\"\n[cluster]\nbrokers = 3\n{version}\n[topic]\n{RF3_MIN2}\n\
             {TRANSACTIONAL}{fault}[expect]\nholds = [\"*\"]\n"
        );
        let scenario = Scenario::parse("x.toml", &text).unwrap();
        let plan = Plan::draw(&scenario, Seed(0));
        let contract = Contract::of(&scenario, &plan.faults);
        let allows_g1b = contract.expect().allows.contains(&"g1b".to_owned());
        assert_eq!(contract.losses.contains(&Loss::LateEnds), allows_g1b, "{text}");
        contract.losses.into_iter().collect::<Vec<_>>()
    };
    let at = "[[schedule]]\nat = \"9s\"\ndown = \"1s\"\n";
    let cut = |from: &str, to: &str| {
        format!("{at}kind = \"partition\"\nfrom = \"{from}\"\nto = \"{to}\"\n")
    };
    let isolated = wild("isolate", "\"transaction-coordinator\"");
    for fault in [&cut("producers", "leader"), &cut("coordinator", "clients"), &isolated] {
        assert_eq!(losses("transaction.version = 0", fault), [Loss::LateEnds]);
        assert_eq!(losses("transaction.version = 1", fault), [Loss::LateEnds]);
        assert_eq!(losses("transaction.version = 2", fault), []);
        assert_eq!(losses("", fault), []);
    }
    let lost = wild("lost-messages", "\"producers\"") + "api = \"EndTxn\"\n";
    let (brokers, controller) = (cut("leader", "followers"), cut("c1", "everyone"));
    for harmless in [&brokers, &controller, &wild("pause", LEADER), &lost] {
        assert_eq!(losses("transaction.version = 1", harmless), [], "{harmless}");
    }
}

#[test]
fn group_that_transforms_in_transactions_does_so_once_unless_something_is_lost() {
    let text = |fault: &str| {
        format!(
            "name = \"x\"\n[cluster]\nbrokers = 3\n[[topic]]\nname = \"orders\"\n{RF3_MIN2}\n\
             [[topic]]\nname = \"invoices\"\n{RF3_MIN2}\n\
             [[load]]\nkind = \"transform\"\ntopic = \"orders\"\noutput = \"invoices\"\n\
             group.id = \"billing\"\n{fault}[expect]\nholds = [\"*\"]\n"
        )
    };
    let parse = |text: &str| Scenario::parse("x.toml", text).unwrap();
    let of = |fault: &str| {
        let scenario = parse(&text(fault));
        let plan = Plan::draw(&scenario, Seed(0));
        let contract = Contract::of(&scenario, &plan.faults);
        (contract.losses.iter().copied().collect::<Vec<_>>(), contract.expect().allows)
    };
    assert_eq!(of(&wild("kill", "\"clients\"").repeat(3)), (vec![], vec![]));
    assert_eq!(of(&wild("kill", ALL)), (vec![], vec![]));
    let (losses, allows) = of(&settled("power-loss", ALL));
    let forgets = [Loss::ForgottenCommits, Loss::ForgottenTransactions];
    assert_eq!(losses, [[Loss::PowerLoss, Loss::FollowedLoss], forgets].concat());
    assert!(allows.contains(&"input-output-mismatch".to_owned()), "{allows:?}");
    let cut = "[[schedule]]\nat = \"9s\"\ndown = \"1s\"\nkind = \"partition\"\n\
               from = \"consumers\"\nto = \"all\"\n";
    for (version, is_late) in [(0, true), (1, true), (2, false)] {
        let cluster = format!("brokers = 3\ntransaction.version = {version}\n");
        let scenario = parse(&text(cut).replacen("brokers = 3\n", &cluster, 1));
        let contract = Contract::of(&scenario, &Plan::draw(&scenario, Seed(0)).faults);
        assert_eq!(contract.losses.contains(&Loss::LateOffsets), is_late, "{version}");
        let allows = contract.expect().allows;
        assert_eq!(allows.contains(&"commit-rewound".to_owned()), is_late, "{allows:?}");
    }
}

#[test]
fn about_a_quarter_of_the_scenarios_has_transactions() {
    let with = (0..300).filter(|seed| draw(*seed).unwrap().transacts()).count();
    assert!((55..95).contains(&with), "{with} of 300");
}

const TRANSACTION_FEATURES: &[Feature] = &[
    ("transactions", |text| text.contains("kind = \"transactional\"")),
    ("aborts", |text| text.contains("\naborts = ")),
    ("transactions that stay open", |text| text.contains("\nhold = ")),
    ("shared transactional ids", |text| text.contains("\nids = 1")),
    ("groups that transform", |text| text.contains("kind = \"transform\"")),
    ("writers and groups that transform", |text| {
        text.contains("kind = \"transform\"") && text.contains("kind = \"transactional\"")
    }),
    ("transactions beside other groups", |text| {
        text.contains("kind = \"transactional\"") && text.contains("kind = \"group\"")
    }),
    ("readers of committed records", |text| text.contains("isolation.level = \"read_committed\"")),
    ("groups that read uncommitted inputs", |text| {
        text.contains("isolation.level = \"read_uncommitted\"")
    }),
    ("the protocol of older transactions", |text| text.contains("transaction.version = 1")),
    ("the oldest entries of coordinators", |text| text.contains("transaction.version = 0")),
    ("a kill of a transaction coordinator", |text| {
        has_fault(text, "kill", "transaction-coordinator")
    }),
    ("a power loss of a transaction coordinator", |text| {
        has_fault(text, "power-loss", "transaction-coordinator")
    }),
    ("a fault during a commit", |text| text.contains("during = \"commit\"")),
    ("decisions that are synced", |text| {
        text.contains("transactional.id") && text.contains("log.flush.before.ack")
    }),
];

#[test]
fn transactions_of_all_kinds_are_drawn() {
    let texts: Vec<String> = (0..300)
        .map(|seed| draw(seed).unwrap())
        .filter(Scenario::transacts)
        .map(|scenario| scenario.to_toml(&Plan::draw(&scenario, Seed(0))))
        .collect();
    for (what, drawn) in TRANSACTION_FEATURES {
        assert!(texts.iter().any(|text| drawn(text)), "never drawn: {what}");
    }
}
