use sha2::{Digest as _, Sha256};

/// The sha256 of a whole file, in lowercase hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest that a file in sha256sum's format (`DIGEST  NAME` or `DIGEST *NAME`, a line each) has for a name.
/// A digest that stands alone is for any name.
pub(crate) fn find<'a>(sums: &'a str, name: &str) -> Option<&'a str> {
    sums.lines().map(str::trim).find_map(|line| {
        let (digest, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let named = rest.trim_start().trim_start_matches('*');
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let is_for_name = named.is_empty() || named.rsplit('/').next() == Some(name);
        (is_digest && is_for_name).then_some(digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_by_the_name_beside_it() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let sums = format!("{a}  model_1.onnx\n{b} *out/model_2.onnx\n");
        assert_eq!(find(&sums, "model_1.onnx"), Some(a.as_str()));
        assert_eq!(find(&sums, "model_2.onnx"), Some(b.as_str()));
        assert_eq!(find(&sums, "model_3.onnx"), None);
        assert_eq!(find(&a, "anything"), Some(a.as_str()));
        assert_eq!(find("not a digest", "anything"), None);
    }
}
