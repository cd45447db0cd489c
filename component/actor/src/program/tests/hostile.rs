//! Programs that are made to take memory or time without bound, or to cause a panic.

use std::io::Read;

use zip::ZipArchive;

use super::*;

#[test]
fn a_hostile_program_is_refused_in_little_time() {
    let deep = |open: &str, close: &str| format!("return {}x{}", open.repeat(1_000_000), close.repeat(1_000_000));
    let long = |part: &str, count: usize| format!("{THREE}y = torch.linear(x, w)\n{}return y", part.repeat(count));
    for (body, reason) in [
        ("while True:\n  y = x\nreturn x".to_owned(), "more than 262144 steps"),
        ("for i in range(1000000000000):\n  pass\nreturn x".to_owned(), "more than 262144 steps"),
        ("return (self).forward(x, )".to_owned(), "nested deeper than"),
        (deep("(", ")"), "more than 524288 tokens"),
        (deep("(((", ")))"), "bytes of source"),
        (format!("return {}x{}", "(".repeat(100_000), ")".repeat(100_000)), "nested deeper than"),
        (format!("return {}x", "-".repeat(100_000)), "nested deeper than"),
        (format!("return {}x", "not ".repeat(100_000)), "nested deeper than"),
        (format!("return x{}", "[0]".repeat(100_000)), "calls in a row"),
        (format!("return x{}", " + x".repeat(100_000)), "operators in a row"),
        (format!("return {}x{}", "[".repeat(40), "]".repeat(40)), "nests lists deeper"),
        ("return x".repeat(1 << 17), "line 5: a line break is expected"),
        // Each line doubles what the one before it made.
        (long("y = torch.cat([y, y], 1)\n", 60), "numbers at once"),
        (long("y = torch.add(y, y)\n", 6000), "more than 4096 operators"),
        (format!("l = [x]\n{}return torch.cat(l, 1)", "l = torch.add(l, l)\n".repeat(60)), "a list of more than"),
        (format!("l = [x]\n{}return x", "l = [l, l]\n".repeat(60)), "nests lists deeper"),
        ("y = torch.zeros([1000000, 1000000])\nreturn y".to_owned(), "numbers at once"),
        ("y = torch.zeros([9223372036854775807, 9223372036854775807])\nreturn y".to_owned(), "numbers at once"),
        (
            "w = torch.ones([1000, 1000])\ny = x\nwhile True:\n  y = torch.linear(y, w)\nreturn y".to_owned(),
            "multiplications",
        ),
        ("w = torch.ones([1000, 1000])\nwhile True:\n  w = torch.add(w, w)\nreturn x".to_owned(), "multiplications"),
        ("l = [1]\nwhile True:\n  _0 = torch.append(l, l)\nreturn x".to_owned(), "appends a list"),
        ("l = [1]\nwhile True:\n  _0 = torch.append(l, 1)\nreturn x".to_owned(), "multiplications"),
        (format!("l = [{}]\nwhile True:\n  for i in l:\n    break\nreturn x", "1, ".repeat(60_000)), "multiplications"),
    ] {
        let start = std::time::Instant::now();
        let found = refusal(&body);
        let shown = body.get(..60).unwrap_or(&body);
        assert!(found.contains(reason), "{shown}: {found}");
        assert!(start.elapsed().as_secs() < 20, "{shown}: {:?}", start.elapsed());
    }
}

/// Returns the entries of an archive.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut entries = vec![];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().to_owned(), content));
    }
    entries
}

/// Damages sources, graphs and pickles: a part is left out, doubled, or exchanged for another one.
#[test]
fn no_damage_causes_a_panic() {
    let mut random = 1u64;
    let mut below = move |limit: usize| {
        // Knuth's MMIX generator.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % limit.max(1)
    };
    for case in ["arithmetic_script/actor.pt", "gaussian_trace/actor.pt", "gaussian_export/actor.pt2"] {
        let whole = entries(&sac_test_support::file(&format!("programs/{case}")));
        let is_program = |name: &str| [".py", ".json", ".pkl"].iter().any(|end| name.ends_with(end));
        for (index, (name, content)) in whole.iter().enumerate().filter(|(_, (name, _))| is_program(name)) {
            for _ in 0..60 {
                let mut damaged = content.clone();
                let (at, length) = (below(content.len()), below(24));
                let part = damaged.splice(at..(at + length).min(content.len()), []).collect::<Vec<_>>();
                let to = below(damaged.len());
                match below(3) {
                    0 => {}
                    1 => drop(damaged.splice(at..at, [&part[..], &part[..]].concat())),
                    _ => drop(damaged.splice(to..to, part)),
                }
                let mut entries = whole.iter().map(|(name, content)| (name.as_str(), &content[..])).collect::<Vec<_>>();
                entries[index] = (name, &damaged);
                if let Ok(Decoded::Program(program)) = file::decode(&archive(&entries).into()) {
                    drop(translate(&program));
                }
            }
        }
    }
}
