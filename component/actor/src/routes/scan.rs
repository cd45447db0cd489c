//! Reads the bodies that clients usually send for predictions, several times as fast as serde. It gives up on everything
//! else, and on everything that is wrong: serde then reads the body from its start.

/// A position in a body. A method that returns `None` has given up, and leaves the position anywhere.
pub struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

/// The fields beside the states.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Others {
    pub deterministic: Option<bool>,
    pub seed: Option<Option<u64>>,
}

/// Reads an object with the field `name`, whose value `read` takes, and the [`Others`], each at most once.
pub fn scan<T>(body: &[u8], name: &str, mut read: impl FnMut(&mut Scan) -> Option<T>) -> Option<(T, Others)> {
    let mut scan = Scan { text: body, at: 0 };
    let (mut value, mut others) = (None, Others::default());
    scan.token(b'{')?;
    loop {
        let key = scan.key()?;
        let is_new = if key == name.as_bytes() {
            value.replace(read(&mut scan)?).is_none()
        } else if key == b"deterministic" {
            others.deterministic.replace(scan.flag()?).is_none()
        } else if key == b"seed" {
            others.seed.replace(scan.whole_or_null()?).is_none()
        } else {
            false
        };
        if !is_new {
            return None;
        }
        if scan.token(b',').is_none() {
            break;
        }
    }
    scan.token(b'}')?;
    scan.skip_space();
    (scan.at == body.len()).then_some((value?, others))
}

impl<'a> Scan<'a> {
    /// Reads a list of lists of numbers, and appends all numbers to `to`. Calls `end` with the length of each list.
    pub fn lists(&mut self, to: &mut Vec<f32>, mut end: impl FnMut(usize)) -> Option<()> {
        self.token(b'[')?;
        loop {
            end(self.numbers(to)?);
            if self.token(b',').is_none() {
                return self.token(b']');
            }
        }
    }

    /// Reads a list of at least one number, appends them to `to`, and returns how many there are.
    pub fn numbers(&mut self, to: &mut Vec<f32>) -> Option<usize> {
        let before = to.len();
        self.token(b'[')?;
        loop {
            self.skip_space();
            to.push(self.number()?);
            if self.token(b',').is_none() {
                self.token(b']')?;
                return Some(to.len() - before);
            }
        }
    }

    /// Reads a number, rounded to f64 and then to f32, as clients in double precision do. Gives up if it is infinite as an f32.
    fn number(&mut self) -> Option<f32> {
        let start = self.at;
        let is_negative = self.skip(b'-');
        let (mut mantissa, first) = (0, self.at);
        let mut digits = self.digits(&mut mantissa);
        // JSON has no number such as `.5` or `01`.
        if digits == 0 || (digits > 1 && self.text[first] == b'0') {
            return None;
        }
        let mut exponent = 0;
        if self.skip(b'.') {
            let fraction = self.many_digits(&mut mantissa);
            digits += fraction;
            exponent = -i64::try_from(fraction).ok().filter(|fraction| *fraction > 0)?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            exponent += self.exponent()?;
        }
        let quick = if digits <= MOST_DIGITS { decimal(mantissa, exponent) } else { None };
        let magnitude = match quick {
            Some(magnitude) => magnitude,
            None => str::from_utf8(&self.text[start..self.at]).ok()?.parse::<f64>().ok()?.abs(),
        };
        let number = if is_negative { -magnitude } else { magnitude } as f32;
        number.is_finite().then_some(number)
    }

    fn exponent(&mut self) -> Option<i64> {
        let is_negative = self.skip(b'-');
        if !is_negative {
            self.skip(b'+');
        }
        let mut exponent = 0;
        // An exponent of more digits is left to serde.
        let is_short = matches!(self.digits(&mut exponent), 1..=4);
        let exponent = i64::try_from(exponent).ok().filter(|_| is_short)?;
        Some(if is_negative { -exponent } else { exponent })
    }

    /// Appends decimal digits to `number`, which wraps if there are too many. Returns how many there are.
    fn digits(&mut self, number: &mut u64) -> usize {
        let start = self.at;
        while let Some(digit) = self.text.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            *number = number.wrapping_mul(10).wrapping_add(digit.into());
            self.at += 1;
        }
        self.at - start
    }

    /// Appends digits as [`Scan::digits`] does, faster if there are many.
    fn many_digits(&mut self, number: &mut u64) -> usize {
        let start = self.at;
        while let Some(value) = self.text[self.at..].first_chunk().and_then(|chunk| eight_digits(*chunk)) {
            *number = number.wrapping_mul(100_000_000).wrapping_add(value);
            self.at += 8;
        }
        self.digits(number);
        self.at - start
    }

    fn whole_or_null(&mut self) -> Option<Option<u64>> {
        self.skip_space();
        if self.word(b"null") {
            return Some(None);
        }
        let (mut number, start) = (0, self.at);
        // Numbers of more digits may exceed 2⁶⁴, and are left to serde.
        let is_short = (1..=MOST_DIGITS).contains(&self.digits(&mut number));
        let is_json = self.text.get(start) != Some(&b'0') || self.at == start + 1;
        (is_short && is_json).then_some(Some(number))
    }

    fn flag(&mut self) -> Option<bool> {
        self.skip_space();
        if self.word(b"true") {
            return Some(true);
        }
        self.word(b"false").then_some(false)
    }

    /// Reads a key without escapes, and the colon.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        let length = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let key = &self.text[self.at..][..length];
        self.at += length;
        self.skip(b'"').then_some(())?;
        self.token(b':')?;
        Some(key)
    }

    /// Skips white space and then this byte.
    fn token(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.skip(byte).then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let is_next = self.text[self.at..].starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }
}

/// Returns the value of eight decimal digits, or `None` if one is none. All are added up at once: first pairs, then fours, then
/// all eight (Lemire, "Quickly parsing eight digits", 2018).
fn eight_digits(chunk: [u8; 8]) -> Option<u64> {
    const UPPER_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = u64::from_le_bytes(*b"00000000");
    let text = u64::from_le_bytes(chunk);
    // The upper half of a digit is 3, and remains 3 when 6 is added.
    let no_digits = ((text ^ ZEROS) | (text.wrapping_add(0x0606_0606_0606_0606) ^ ZEROS)) & UPPER_HALVES;
    let pairs = (text.wrapping_sub(ZEROS).wrapping_mul(1 + (10 << 8)) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(1 + (100 << 16)) >> 16) & 0x0000_ffff_0000_ffff;
    (no_digits == 0).then_some(fours.wrapping_mul(1 + (10_000 << 32)) >> 32)
}

/// The digits that a u64 always holds.
const MOST_DIGITS: usize = 19;

/// Returns mantissa · 10^exponent, or a number near it that rounds to the same f32. Returns `None` where that takes more than
/// two roundings.
fn decimal(mantissa: u64, exponent: i64) -> Option<f64> {
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ];
    const HALF: i64 = 1 << 28;
    // These powers of ten are exact.
    let power = POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    let number = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
    if mantissa <= 1 << f64::MANTISSA_DIGITS {
        // One rounding, which is the correct one (Clinger, "How to read floating point numbers accurately", 1990).
        return Some(number);
    }
    // Two roundings, so the last bits may be wrong. They decide the f32 only near the middle between two of them. The number
    // is far above the smallest normal f32, so 29 bits are rounded away.
    let rest = (number.to_bits() & (2 * HALF as u64 - 1)) as i64;
    ((rest - HALF).abs() > 4).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<f32> {
        let mut scan = Scan { text: text.as_bytes(), at: 0 };
        let number = scan.number()?;
        (scan.at == text.len()).then_some(number)
    }

    fn check(text: &str) {
        let expected = text.parse::<f64>().expect("a number") as f32;
        let found = number(text);
        assert!(
            found.is_some_and(|found| found.to_bits() == expected.to_bits()),
            "{text}: {found:?}, not {expected:?}"
        );
    }

    /// Spreads over all bits: splitmix64.
    fn random(index: u64) -> u64 {
        let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn numbers_are_rounded_to_double_and_then_to_single_precision() {
        for text in ["0", "-0", "-0.0", "1", "0.1", "-2.5e-7", "1E5", "1e+22", "123456789012345678", "3.4028234e38"] {
            check(text);
        }
        for text in ["0.30000001192092896", "9007199254740993", "16777217", "1.1754943508222875e-38", "1e-45", "1e-400"]
        {
            check(text);
        }
        for index in 0..200_000 {
            let single = f32::from_bits(random(index) as u32);
            if single.is_finite() {
                check(&format!("{single:?}"));
                check(&format!("{:?}", f64::from(single)));
            }
            let unit = random(index) as f64 / 2f64.powi(63) - 1.0;
            check(&format!("{unit:?}"));
            check(&format!("{unit:.6}"));
        }
    }

    #[test]
    fn numbers_in_the_middle_between_two_floats_are_rounded_as_exactly() {
        for index in 0..50_000 {
            let single = f32::from_bits(0x3000_0000 + (random(index) % 0x1800_0000) as u32);
            let middle = f64::from_bits(f64::from(single).to_bits() + (1 << 28));
            for bits in [middle.to_bits() - 1, middle.to_bits(), middle.to_bits() + 1] {
                check(&format!("{:?}", f64::from_bits(bits)));
                check(&format!("{:.18}", f64::from_bits(bits)));
            }
        }
    }

    #[test]
    fn eight_digits_are_read_at_once_and_no_other_byte_is_a_digit() {
        assert_eq!(eight_digits(*b"00000000"), Some(0));
        assert_eq!(eight_digits(*b"12345678"), Some(12_345_678));
        assert_eq!(eight_digits(*b"99999999"), Some(99_999_999));
        for (place, byte) in (0..8).flat_map(|place| (0..=255u8).map(move |byte| (place, byte))) {
            let mut chunk = *b"90817263";
            chunk[place] = byte;
            let value = str::from_utf8(&chunk).ok().and_then(|text| text.parse().ok());
            assert_eq!(eight_digits(chunk), value.filter(|_| byte.is_ascii_digit()), "{chunk:?}");
        }
    }

    #[test]
    fn it_gives_up_on_numbers_that_json_or_f32_does_not_have() {
        for text in
            ["", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "NaN", "Infinity", "0x1", "1e39", "1e99999", "1_0"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
