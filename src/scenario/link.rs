//! `[[link]]`: links that are slow from the beginning to the end, as between two sites.

use super::document::{Problems, Section};
use super::fault::{Kind, SlowLink};
use super::known::Known;

/// A link that is slow all the time. Nothing about it is drawn.
pub(super) fn link(
    mut section: Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<SlowLink> {
    let link = SlowLink::parse(&mut section, known, problems);
    if let Some(key) = link.as_ref().and_then(SlowLink::undrawn) {
        problems.add(section.line, format!("a link stays as it is: `{key}` is one value"));
    }
    section.finish(problems);
    link
}

#[cfg(test)]
mod tests {
    use crate::base::Seed;
    use crate::scenario::{Plan, Scenario};

    fn with(link: &str) -> String {
        format!("name = \"x\"\n{link}\n[expect]\nholds = [\"*\"]\n")
    }

    #[test]
    fn link_is_read_written_and_refused_where_it_would_be_drawn() {
        let link =
            "[[link]]\nfrom = \"b1\"\nto = \"all\"\nlatency = \"5ms..9ms\"\nbandwidth = 8000\n";
        let scenario = Scenario::parse("x.toml", &with(link)).unwrap();
        assert_eq!(scenario.links.len(), 1);
        let saved = scenario.to_toml(&Plan::draw(&scenario, Seed(1)));
        assert_eq!(Scenario::parse("x.toml", &saved).unwrap().links, scenario.links, "{saved}");
        for (old, new, message) in [
            ("bandwidth = 8000", "bandwidth = \"8000..9000\"", "`bandwidth` is one value"),
            ("bandwidth = 8000", "bandwith = 8000", "did you mean `bandwidth`?"),
            ("from = \"b1\"", "from = \"b9\"", "no host `b9`: there are 3 brokers"),
            ("[[link]]", "[[lnk]]", "did you mean `[[link]]`?"),
        ] {
            let wrong = Scenario::parse("x.toml", &with(&link.replacen(old, new, 1)));
            let said = wrong.unwrap_err().to_string();
            assert!(said.contains(message), "{new}: {said}");
        }
    }
}
