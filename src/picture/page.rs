//! Puts a run's data into the page. Template, style and script are files of their own; the result
//! names nothing outside itself.

use super::data::Data;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which the page runs them.
const SCRIPTS: [&str; 7] = [
    include_str!("model.js"),
    include_str!("chart.js"),
    include_str!("groups.js"),
    include_str!("transactions.js"),
    include_str!("pins.js"),
    include_str!("story.js"),
    include_str!("page.js"),
];

/// The whole page.
pub(super) fn html(data: &Data) -> String {
    let mut page = String::with_capacity(1 << 20);
    let mut rest = TEMPLATE;
    // Each slot once, from left to right: what is put in is never looked at again.
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((slot, after)) = after.split_once("}}") else { break };
        match slot {
            "title" => page.push_str(&text(&data.title())),
            "style" => page.push_str(STYLE),
            "script" => SCRIPTS.iter().for_each(|script| page.push_str(script)),
            "headline" => page.push_str(&text(data.headline())),
            "steps" => {
                for (at, title, said) in data.steps() {
                    let at = format!("{:.3}", at as f64 / 1e6);
                    let (title, said) = (text(title), text(said));
                    page.push_str(&format!("<li>{at} s: <b>{title}.</b> {said}</li>\n"));
                }
            }
            "data" => page.push_str(&json(data)),
            _ => {}
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON inside a script element: nothing in it can end the element, nor begin a comment.
fn json(data: &Data) -> String {
    let text = serde_json::to_string(data).unwrap_or_default();
    escape(&text)
}

fn escape(json: &str) -> String {
    // Outside of strings JSON has none of these.
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Text inside an element.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_scenario_can_end_the_script_it_stands_in() {
        let evil = serde_json::to_string("</script><!--<script>\u{2028}&").unwrap();
        let escaped = escape(&evil);
        assert!(!escaped.contains('<') && !escaped.contains('\u{2028}'), "{escaped}");
        let back: String = serde_json::from_str(&escaped).unwrap();
        assert_eq!(back, "</script><!--<script>\u{2028}&");
    }

    #[test]
    fn the_page_names_nothing_outside_itself() {
        for part in [TEMPLATE, STYLE].into_iter().chain(SCRIPTS) {
            for word in ["http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttp"] {
                assert!(!part.contains(word), "{word}");
            }
            assert!(!part.contains("</script>") || part == TEMPLATE);
        }
    }
}
