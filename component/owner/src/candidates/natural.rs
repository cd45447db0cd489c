//! The order of names in which numbers compare as numbers: `model_9` is before `model_10`.

use std::cmp::Ordering;

/// Compares two names. Names that differ only in leading zeros are ordered by their bytes.
pub(super) fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some((x, left_rest)), Some((y, right_rest))) = (left.split_first(), right.split_first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, other);
            (number, left) = split_number(left);
            (other, right) = split_number(right);
            // Without leading zeros, the longer number is the larger one.
            number.len().cmp(&other.len()).then_with(|| number.cmp(other))
        } else {
            (left, right) = (left_rest, right_rest);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Splits the digits off the beginning, without leading zeros.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    (&number[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let ascending =
            ["", "a", "model_", "model_0", "model_00", "model_9", "model_09", "model_10", "model_10_steps_2"]
                .map(str::as_bytes);
        for pair in ascending.windows(2) {
            // Names that differ in leading zeros only have some order, which is the same from both sides.
            assert_eq!(natural(pair[0], pair[1]), natural(pair[1], pair[0]).reverse());
        }
        let less = |a: &str, b: &str| natural(a.as_bytes(), b.as_bytes()).is_lt();
        assert!(less("model_9.pt", "model_10.pt") && less("model_009.pt", "model_10.pt"));
        assert!(less("model_10_steps", "model_10_steps_2") && less("model_9z", "model_10a"));
        assert!(less("model_99999999999999999999999", "model_100000000000000000000000"));
        assert!(less("a", "b") && less("model_2.onnx", "model_2.pt") && less("1", "a"));
        assert_ne!(natural(b"model_1", b"model_01"), Ordering::Equal);
        assert_eq!(natural(b"model_1", b"model_1"), Ordering::Equal);
    }
}
