//! What the crate regex says, for the tests of storeengine's filters.
//!
//!   vectors tables              src/unicode_data.c
//!   vectors themes              vectors.csv: chosen patterns, then random ones
//!   vectors random SEED COUNT   so many more random patterns, as above
//!
//! Each line of CSV has a theme, a pattern, the searched bytes in hexadecimal,
//! and what was found: the span of the match and of each named group, or "none",
//! or "error" if the pattern is refused.

mod random;
mod tables;
mod themes;

use random::{Patterns, Random};
use regex::bytes::Regex;

/// A field of CSV, in quotes if it has to be.
fn field(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r', ' ', '\\']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of the match and of each named group.
fn search(regex: &Regex, text: &[u8]) -> String {
    let Some(captures) = regex.captures(text) else {
        return "none".to_string();
    };
    let spans: Vec<String> = regex
        .capture_names()
        .enumerate()
        .filter(|(group, name)| *group == 0 || name.is_some())
        .map(|(group, _)| match captures.get(group) {
            Some(found) => format!("{}-{}", found.start(), found.end()),
            None => "-".to_string(),
        })
        .collect();
    spans.join(" ")
}

fn print(theme: &str, pattern: &str, texts: &[Vec<u8>]) {
    // Blank patterns are refused by whoever uses the crate.
    match Regex::new(pattern) {
        Ok(regex) if !pattern.trim().is_empty() => {
            for text in texts {
                println!("{theme},{},{},{}", field(pattern), hex(text), search(&regex, text));
            }
        }
        _ => println!("{theme},{},,error", field(pattern)),
    }
}

fn print_random(seed: u64, count: usize, texts: usize) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        let pattern = Patterns::generate(&mut random);
        let texts: Vec<Vec<u8>> = (0..texts).map(|_| random::text(&mut random)).collect();
        print("random", &pattern, &texts);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    match arguments[..] {
        ["tables"] => tables::print(),
        ["themes"] => {
            for (theme, patterns, texts) in themes::THEMES {
                let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
                for pattern in *patterns {
                    print(theme, pattern, &texts);
                }
            }
            print_random(1, 300, 2);
        }
        ["random", seed, count] => print_random(seed.parse().unwrap(), count.parse().unwrap(), 12),
        _ => eprintln!("usage: vectors tables | themes | random SEED COUNT"),
    }
}
