//! Names in a sentence.

/// `b1, b2 and b3`; `none` where there is none.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        None => "none".into(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_as_in_a_sentence() {
        assert_eq!(list::<&str>(&[]), "none");
        assert_eq!(list(&["b1"]), "b1");
        assert_eq!(list(&["b1", "b2", "b3"]), "b1, b2 and b3");
    }
}
