//! Authorisation by bearer tokens.

use subtle::{Choice, ConstantTimeEq};

/// Returns `true` if the Authorization header has one of the tokens, or if there are none. The header is compared with
/// every token, in a time that does not depend on how much of one is right.
pub fn is_authorised(authorization: Option<&str>, tokens: &[String]) -> bool {
    if tokens.is_empty() {
        return true;
    }
    let presented = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    let matches = |token: &String| !token.is_empty() & bool::from(token.as_bytes().ct_eq(presented.as_bytes()));
    tokens.iter().fold(Choice::from(0), |found, token| found | Choice::from(u8::from(matches(token)))).into()
}

#[cfg(test)]
mod tests {
    use super::is_authorised;

    #[test]
    fn a_request_is_authorised_by_any_of_the_tokens_and_by_nothing_else() {
        let tokens = ["first".to_owned(), "second".to_owned()];
        for good in ["Bearer first", "Bearer second", "bearer second", "BEARER  first "] {
            assert!(is_authorised(Some(good), &tokens), "{good}");
        }
        for bad in
            ["", "Bearer", "Bearer ", "Bearer firs", "Bearer firstsecond", "first", "Basic first", "Bearer First"]
        {
            assert!(!is_authorised(Some(bad), &tokens), "{bad}");
        }
        assert!(!is_authorised(None, &tokens));
        assert!(!is_authorised(None, &[String::new()]));
        assert!(is_authorised(None, &[]));
    }
}
