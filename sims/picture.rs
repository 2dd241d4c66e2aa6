//! The picture in a real headless browser: it shows what happened, and no script fails. Needs
//! Debian's `chromium` (or `CHROMIUM=path`); skipped without it.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size limit in bytes for the page of a one-minute run.
const LARGEST: u64 = 2_000_000;
/// Limit for the time until it is drawn, in milliseconds.
const SOON: u64 = 1000;

/// The browser, if there is one.
fn browser() -> Option<PathBuf> {
    let asked = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|dir| dir.join("chromium"));
    let browser = asked.or_else(|| found.find(|file| file.is_file()));
    if browser.is_none() {
        eprintln!("skipped: no chromium in PATH (Debian: apt-get install chromium), nor CHROMIUM");
    }
    browser
}

/// Draws a run with the command: the page, and its output.
fn draw(scenario: &str, seed: u64, dir: &Path) -> (PathBuf, String) {
    let file = dir.join("picture.html");
    let out = Command::new(env!("CARGO_BIN_EXE_brokerquake"))
        .args(["replay", scenario, "--seed", &seed.to_string(), "--picture"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("picture: "), "{said}{}", String::from_utf8_lossy(&out.stderr));
    (file, said)
}

/// A page after its scripts have run.
struct Page(String);

impl Page {
    /// Opens a file at a place in it: `step=3`.
    fn open(browser: &Path, file: &Path, place: &str, patience: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let out = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--window-size=1400,900", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(patience)
            .arg(format!("file://{}#{place}", file.display()))
            .output()
            .unwrap();
        let page = Self(String::from_utf8_lossy(&out.stdout).into_owned());
        assert!(page.0.contains("<html"), "{}", String::from_utf8_lossy(&out.stderr));
        page
    }

    /// What the page reports in the attributes of its root.
    fn says(&self) -> BTreeMap<String, String> {
        let root = self.0.split("<html").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
        let pairs = root.split("data-").skip(1).filter_map(|pair| pair.split_once("=\""));
        let pairs = pairs.map(|(name, value)| (name, value.rsplit_once('"').unwrap().0));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn ready(&self) -> BTreeMap<String, String> {
        let says = self.says();
        assert_eq!(says["problems"], "", "a script failed");
        assert_eq!(says["state"], "ready");
        says
    }

    /// The text of the chart.
    fn words(&self) -> &str {
        self.0.split("id=\"words\"").nth(1).and_then(|rest| rest.split("</p>").next()).unwrap()
    }
}

const ALL_AT_ONCE: &[&str] = &["--virtual-time-budget=3000"];

#[test]
fn picture_of_a_minute_is_complete_small_and_opens_quickly() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    // Independent of changes in the scenario: the first seed that shows its loss.
    let lost = "broke:   acked-write-lost";
    let draw = |seed| draw("scenarios/faults/acks-1-leader-kill.toml", seed, dir.path());
    let (file, said) = (0..30).map(draw).find(|(_, said)| said.contains(lost)).unwrap();
    let size = file.metadata().unwrap().len();
    assert!(size < LARGEST, "{size} bytes");

    let page = Page::open(&browser, &file, "", ALL_AT_ONCE);
    let says = page.ready();
    assert_eq!(says["lanes"], "c1 b1 b2 b3 p1 p2 p3 k1 k2 k3");
    let kills = said.lines().filter(|line| line.starts_with("fault:") && line.contains("kill of"));
    let kills = vec!["kill"; kills.count()];
    assert!(!kills.is_empty(), "{said}");
    assert_eq!(says["faults"], kills.join(" "));
    assert!(says["steps"].parse::<u32>().unwrap() >= 8, "{says:?}");
    assert_eq!(page.0.matches("class=\"step\"").count().to_string(), says["steps"]);
    assert_eq!(says["theme"], "light");
    assert!(page.words().contains("leads epoch 1"), "{}", page.words());

    // A busy machine must not fail the test: the best of three counts.
    let took = (0..3).map(|_| {
        let page = Page::open(&browser, &file, "", &[]);
        page.ready()["took"].parse::<u64>().unwrap()
    });
    let best = took.min().unwrap();
    assert!(best < SOON, "{best} ms");
    eprintln!("{size} bytes, drawn after {best} ms");
}

#[test]
fn selected_step_shows_messages_in_light_and_dark_mode() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = draw("scenarios/smoke/smoke-all-lose-power.toml", 0, dir.path());
    let whole = Page::open(&browser, &file, "", ALL_AT_ONCE).ready();
    assert_eq!((whole["step"].as_str(), whole["arrows"].as_str()), ("0", "0"));
    assert_eq!(whole["faults"], "power-loss");
    let page = Page::open(&browser, &file, "step=2&theme=dark", ALL_AT_ONCE);
    let near = page.ready();
    assert_eq!((near["step"].as_str(), near["theme"].as_str()), ("2", "dark"));
    assert!(near["arrows"].parse::<u32>().unwrap() > 3, "{near:?}");
    assert!(page.0.contains("id=\"step-2\" aria-current=\"step\""), "the step is not marked");
}

#[test]
fn keys_and_wheel_walk_the_story_and_zoom() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = draw("scenarios/smoke/smoke-all-lose-power.toml", 0, dir.path());
    // Keyboard input, as a script at the end of the page.
    let hand = "<script>\
        const press = (key) => document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));\
        const note = (name) => document.documentElement.setAttribute('data-' + name, Math.round(view.from) + ' ' + Math.round(view.to));\
        for (const key of 'jjjk') press(key);\
        flight++; look(1e6, 3e6); note('first');\
        press('+'); note('nearer'); press('ArrowRight'); note('later'); press('-'); note('farther');\
        chart.dispatchEvent(new WheelEvent('wheel', { deltaY: -200, clientX: 500, clientY: 300, cancelable: true })); note('wheeled');\
        draw();\
        </script></body>";
    let page = std::fs::read_to_string(&file).unwrap();
    let touched = dir.path().join("touched.html");
    std::fs::write(&touched, page.replace("</body>", hand)).unwrap();
    let says = Page::open(&browser, &touched, "", ALL_AT_ONCE).ready();
    assert_eq!(says["step"], "2", "j three times and k once");
    let view = |name: &str| -> (i64, i64) {
        let (from, to) = says[name].split_once(' ').unwrap();
        (from.parse().unwrap(), to.parse().unwrap())
    };
    let width = |name: &str| view(name).1 - view(name).0;
    assert_eq!(view("first"), (1_000_000, 3_000_000));
    assert_eq!(width("nearer"), 1_200_000);
    assert!(view("later").0 > view("nearer").0 && width("later") == width("nearer"));
    assert_eq!(width("farther"), 2_000_000);
    assert!(width("wheeled") < width("farther"));
}

#[test]
fn html_in_a_scenario_is_escaped() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("evil.toml");
    let text = std::fs::read_to_string("scenarios/smoke/smoke-calm.toml").unwrap();
    let evil = "# </script><script>document.title = 'taken'</script><!-- & <b>bold</b>\n";
    let text = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    std::fs::write(&scenario, format!("{evil}{text}\n")).unwrap();
    let (file, _) = draw(&scenario.display().to_string(), 0, dir.path());
    let page = Page::open(&browser, &file, "", ALL_AT_ONCE);
    let says = page.ready();
    assert_eq!(says["faults"], "");
    assert!(!page.0.contains("<title>taken"), "the scenario's script ran");
    assert!(page.0.contains("&lt;/script&gt;&lt;script&gt;document.title"), "its words are gone");
}
