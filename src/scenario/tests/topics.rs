//! Files with several topics.

use super::*;

const TWO_TOPICS: &str = r#"name = "x"
duration = "60s"

[[topic]]
name = "orders"
partitions = 3

[[topic]]
name = "clicks"
partitions = 8
min.insync.replicas = 1

[[load]]
kind = "producer"
topic = "clicks"

[[load]]
kind = "consumer"
topic = "orders"

[[fault]]
kind = "kill"
target = "leader"
topic = "clicks"
partition = 7
at = "5s"

[[fault]]
kind = "kill"
target = "leader of clicks-6"
at = "6s"

[expect]
holds = ["*"]
"#;

#[test]
fn loads_and_faults_of_a_file_with_two_topics_name_theirs() {
    let scenario = Scenario::parse("x.toml", TWO_TOPICS).unwrap();
    let names: Vec<_> = scenario.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["orders", "clicks"]);
    assert_eq!(scenario.loads[0].topic, "clicks");
    let plan = Plan::draw(&scenario, Seed(5));
    assert_eq!(plan.faults[0].topic.as_deref(), Some("clicks"));
    assert_eq!(plan.faults[0].partition, 7);
    assert_eq!(plan.faults[1].topic, None, "the first topic needs no name");
    let saved = Scenario::parse("x.toml", &scenario.to_toml(&plan)).unwrap();
    assert_eq!(saved.topics, scenario.topics);
    assert_eq!(saved.loads, scenario.loads);
    assert_eq!(saved.schedule, Some(plan.faults));
}

#[test]
fn unknown_topic_is_reported_with_line_and_nearest_name() {
    for (old, new, message) in [
        ("topic = \"clicks\"\n\n", "topic = \"click\"\n\n", "x.toml:15: unknown topic `click`"),
        ("topic = \"clicks\"\n\n", "topic = \"click\"\n\n", "did you mean `clicks`?"),
        (
            "topic = \"clicks\"\n\n",
            "\n",
            "x.toml:13: `topic` is missing: one of `orders`, `clicks`",
        ),
        ("topic = \"clicks\"\npart", "topic = \"order\"\npart", "x.toml:24: unknown topic `order`"),
        ("partition = 7", "partition = 8", "x.toml:25: `partition = 8`: there are 8 partitions"),
        ("topic = \"clicks\"\npart", "part", "`partition = 7`: there are 3 partitions"),
        ("clicks-6", "clicks-8", "there is no clicks-8"),
        ("name = \"clicks\"", "name = \"orders\"", "x.toml:9: two topics are called `orders`"),
        ("name = \"clicks\"\n", "", "x.toml:8: `name` is missing"),
        ("min.insync", "min.insinc", "unknown [[topic]] key `min.insinc.replicas`; did you mean"),
        (
            "[[topic]]\nname = \"clicks\"",
            "[[topics]]\nname = \"clicks\"",
            "did you mean `[[topic]]`?",
        ),
    ] {
        assert!(TWO_TOPICS.contains(old), "{old}");
        let said = complaints(&TWO_TOPICS.replacen(old, new, 1));
        assert!(said.contains(message), "{new}: {said}");
    }
    let said = complaints("name = \"x\"\ntopic = 3\n[expect]\nholds = [\"*\"]\n");
    assert_eq!(said, "x.toml:2: `topic` is written as `[topic]`");
    let one = complaints(&with("[topic]", "[topics]"));
    assert!(one.contains("did you mean `[topic]`?"), "{one}");
    let load = complaints(&with("acks = \"all\"", "topic = \"order\""));
    assert!(load.contains("unknown topic `order`; did you mean `orders`?"), "{load}");
}
