//! Numbers as reports print them.

/// A number with a comma between each three digits: `13,203`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_each_three_digits() {
        let texts = [0, 999, 1000, 13_203, 1_000_000].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "13,203", "1,000,000"]);
    }
}
