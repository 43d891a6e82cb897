//! The tables in src/unicode_data.c, taken from those of the crate
//! regex-syntax, so that both engines mean the same by a character class.

use regex_syntax::hir::{Class, HirKind};
use std::fmt::Write;

const CATEGORIES: [&str; 29] = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi",
    "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn",
];
const LAST: usize = 0x10FFFF;

/// The characters that a class matches, as a flag for each code point.
fn members(pattern: &str) -> Vec<bool> {
    let mut found = vec![false; LAST + 1];
    let hir = regex_syntax::parse(pattern).unwrap();
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            for range in class.ranges() {
                found[range.start() as usize..=range.end() as usize].fill(true);
            }
        }
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).unwrap();
            found[text.chars().next().unwrap() as usize] = true;
        }
        _ => panic!("{pattern} is no class"),
    }
    found
}

fn ranges(found: &[bool]) -> Vec<(usize, usize)> {
    let mut ranges = vec![];
    let mut c = 0;
    while c <= LAST {
        let first = c;
        while c <= LAST && found[c] {
            c += 1;
        }
        if c > first {
            ranges.push((first, c - 1));
        }
        c += 1;
    }
    ranges
}

/// An initializer, with as many elements in a line as fit.
fn table(out: &mut String, comment: &str, declaration: &str, elements: &[String]) {
    writeln!(out, "\n/* {comment} */\nconst {declaration}[] = {{").unwrap();
    let mut line = String::new();
    for element in elements {
        if line.len() + element.len() + 2 > 76 {
            writeln!(out, "\t{}", line.trim_end()).unwrap();
            line.clear();
        }
        write!(line, "{element}, ").unwrap();
    }
    writeln!(out, "\t{}\n}};", line.trim_end().trim_end_matches(',')).unwrap();
}

fn range_table(out: &mut String, comment: &str, name: &str, found: &[bool]) {
    let elements: Vec<String> = ranges(found)
        .iter()
        .map(|(first, last)| format!("{{0x{first:X}, 0x{last:X}}}"))
        .collect();
    table(out, comment, &format!("SeCharRange {name}"), &elements);
    writeln!(out, "const int\t{name}_count = lengthof({name});").unwrap();
}

/// Where each run of characters of one category starts.
fn categories(out: &mut String) {
    let mut category = vec![CATEGORIES.len() - 1; LAST + 1];
    for (number, name) in CATEGORIES.iter().enumerate() {
        for (c, found) in members(&format!(r"\p{{gc={name}}}")).iter().enumerate() {
            if *found {
                category[c] = number;
            }
        }
    }
    let mut elements = vec![];
    for c in 0..=LAST {
        if c == 0 || category[c] != category[c - 1] {
            elements.push(format!("{{0x{c:X}, GC_{}}}", CATEGORIES[category[c]].to_uppercase()));
        }
    }
    table(
        out,
        "Where each run of characters of one general category starts.",
        "SeCategoryRun se_category_runs",
        &elements,
    );
    writeln!(out, "const int\tse_category_run_count = lengthof(se_category_runs);").unwrap();
}

/// Characters that are the same but for their case form a ring; the table
/// says how far it is to the next one in it.
fn folding(out: &mut String) {
    let mut next: Vec<i64> = vec![0; LAST + 1];
    for c in (0..=LAST).filter_map(|c| char::from_u32(c as u32)) {
        let class = match regex_syntax::parse(&format!(r"(?i)\x{{{:X}}}", c as u32)).unwrap().kind() {
            HirKind::Class(Class::Unicode(class)) => class.clone(),
            _ => continue,
        };
        let ring: Vec<u32> = class.iter().flat_map(|r| r.start() as u32..=r.end() as u32).collect();
        let place = ring.iter().position(|&other| other == c as u32).unwrap();
        next[c as usize] = ring[(place + 1) % ring.len()] as i64 - c as i64;
    }
    let mut elements = vec![];
    let mut done = vec![false; LAST + 1];
    for first in 0..=LAST {
        if next[first] == 0 || done[first] {
            continue;
        }
        // neighbours with the same distance, or every other character
        let run = |step: usize| {
            (first..=LAST).step_by(step).take_while(|&c| next[c] == next[first] && !done[c]).last().unwrap()
        };
        let step = if run(1) > first { 1 } else { 2 };
        let last = run(step);
        (first..=last).step_by(step).for_each(|c| done[c] = true);
        elements.push(format!("{{0x{first:X}, 0x{last:X}, {step}, {}}}", next[first]));
    }
    table(
        out,
        "From a character to the next one that differs from it by case only.",
        "SeFoldRun se_fold_runs",
        &elements,
    );
    writeln!(out, "const int\tse_fold_run_count = lengthof(se_fold_runs);").unwrap();
}

/// What a property has beyond certain categories.
fn remainder(property: &str, rest: &str) -> Vec<bool> {
    members(&format!(r"[\p{{{property}}}--{rest}]"))
}

pub fn print() {
    let mut out = String::from(
        "/*\n * unicode_data.c\n *\t\tUnicode 16: categories, properties, case.\n *\n \
         * Generated by test/regex, from the tables of Rust's regex-syntax.\n */\n\
         #ifdef FRONTEND\n#include \"postgres_fe.h\"\n#else\n#include \"postgres.h\"\n#endif\n\n\
         #include \"unicode_data.h\"\n",
    );
    categories(&mut out);
    range_table(&mut out, "Alphabetic, besides L and Nl.", "se_other_alphabetic",
        &remainder("Alphabetic", r"[\p{L}\p{Nl}]"));
    range_table(&mut out, "Lowercase, besides Ll.", "se_other_lowercase", &remainder("Lowercase", r"\p{Ll}"));
    range_table(&mut out, "Uppercase, besides Lu.", "se_other_uppercase", &remainder("Uppercase", r"\p{Lu}"));
    range_table(&mut out, "White_Space.", "se_white_space", &members(r"\p{White_Space}"));
    folding(&mut out);
    print!("{out}");
}
