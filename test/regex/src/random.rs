//! Random patterns and texts, the same ones for the same seed.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const CHARACTERS: &[&str] = &[
    "a", "b", "c", "k", "K", "s", "_", "1", " ", "é", "É", "ſ", "σ", "Σ", "ς", "\u{212A}", "日", "🎉",
    "٣", r"\n", r"\x00", r"\xFF", r"\x80", r"\xC3", r"\xA9", r"\x{E9}", r"\u00E9", r"\U0001F389", r"\.", r"\-",
    r"\t", "-", "]", "}",
];
const CLASSES: &[&str] = &[
    ".", r"\d", r"\s", r"\w", r"\D", r"\S", r"\W", r"\pL", r"\PL", r"\p{Lu}", r"\p{Greek}", r"\p{Alphabetic}",
    r"\P{Lowercase}", r"\p{gc:Nd}", r"\p{^L}", r"\p{Any}",
];
const ASSERTIONS: &[&str] = &[
    "^", "$", r"\b", r"\B", r"\A", r"\z", r"\<", r"\>", r"\b{start}", r"\b{end}", r"\b{start-half}",
    r"\b{end-half}",
];
const REPETITIONS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{1,}?", "{0}", "{0,1}", "**", "+?+",
];
const ASCII_CLASSES: &[&str] = &["[:alpha:]", "[:^digit:]", "[:space:]", "[:punct:]", "[:xdigit:]", "[:nope:]"];
/// What patterns are made of, for those that hardly ever are well-formed.
const TOKENS: &[&str] = &[
    "(", ")", "[", "]", "{", "}", "?", "*", "+", "|", "^", "$", ".", "\\", "-", "&&", "--", "~~", ":", "P", "<", ">", "!",
    "=", "i", "x", "u", "s", "U", "R", "a", "b", "k", "p", "L", "0", "1", "2", ",", " ", "#", "\n", "_", "é", "日", r"\0",
    "[:", ":]", "alpha", "{L}", "{2}", "(?", "(?:", "(?x)", "(?-u)", "(?P<", "\\b", "\\x", "\\u", "\\p", "\\w", "start", "[^", "a-b",
];
const TEXT: &[&[u8]] = &[
    b"a", b"b", b"c", b"k", b"K", b"s", b"_", b"1", b" ", b"\n", b"\r", b"\0", b"-", b"]", b".",
    "é".as_bytes(), "É".as_bytes(), "ſ".as_bytes(), "σ".as_bytes(), "ς".as_bytes(), "\u{212A}".as_bytes(),
    "日".as_bytes(), "🎉".as_bytes(), "٣".as_bytes(), "\u{301}".as_bytes(),
    b"\x80", b"\xA9", b"\xC3", b"\xE0\xA0", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xFF", b"\xF0\x9F",
];

pub struct Patterns<'a> {
    random: &'a mut Random,
    names: usize,
    /// Only what repetitions, groups and assertions do, over two letters.
    plain: bool,
}

impl Patterns<'_> {
    pub fn generate(random: &mut Random) -> String {
        if random.below(6) == 0 {
            let count = 1 + random.below(10);
            return (0..count).map(|_| random.pick(TOKENS)).collect();
        }
        let plain = random.below(2) == 0;
        let mut patterns = Patterns { random, names: 0, plain };
        let flags = patterns.random.pick(&["", "", "", "(?s-u)", "(?-u)", "(?i)", "(?i-u)", "(?m)", "(?x)", "(?U)"]);
        let depth = 1 + patterns.random.below(3);
        format!("{flags}{}", patterns.alternation(depth))
    }

    fn alternation(&mut self, depth: usize) -> String {
        let count = [1, 1, 1, 2, 2, 3][self.random.below(6)];
        let branches: Vec<String> = (0..count).map(|_| self.concatenation(depth)).collect();
        branches.join("|")
    }

    fn concatenation(&mut self, depth: usize) -> String {
        let count = self.random.below(4);
        (0..count).map(|_| self.repetition(depth)).collect()
    }

    fn repetition(&mut self, depth: usize) -> String {
        let atom = self.atom(depth);
        if self.random.below(3) == 0 {
            atom + self.random.pick(REPETITIONS)
        } else {
            atom
        }
    }

    fn atom(&mut self, depth: usize) -> String {
        if self.plain && self.random.below(2) == 0 {
            return self.random.pick(&["a", "b", "a", "b", "[ab]", "^", "$", r"\b", r"\B", ""]).to_string();
        }
        let first = if self.plain && depth > 0 { 11 } else { 0 };
        let last = if depth == 0 { 12 } else { 20 };
        match first + self.random.below(last - first) {
            0..=5 => self.random.pick(CHARACTERS).to_string(),
            6..=7 => self.random.pick(CLASSES).to_string(),
            8..=9 => self.class(2),
            10 => self.random.pick(ASSERTIONS).to_string(),
            11 => self.random.pick(&["a", "b", "c"]).to_string(),
            12..=14 => {
                self.names += 1;
                let number = self.names;
                let open = self.random.pick(&["(?P<n", "(?<n"]);
                format!("{open}{number}>{})", self.alternation(depth - 1))
            }
            15..=16 => format!("(?:{})", self.alternation(depth - 1)),
            17 => {
                let flags = self.random.pick(&["i", "-u", "s", "m", "x", "i-u", "U", "u", "s-u", "-i", "mU"]);
                format!("(?{flags}:{})", self.alternation(depth - 1))
            }
            18 => {
                let flags = self.random.pick(&["i", "-u", "s", "m", "x", "u", "U", "-s"]);
                format!("(?{flags}){}", self.concatenation(depth - 1))
            }
            _ => format!("({})", self.alternation(depth - 1)),
        }
    }

    fn class(&mut self, depth: usize) -> String {
        let mut class = String::from(self.random.pick(&["[", "[", "[^"]));
        for _ in 0..1 + self.random.below(3) {
            match self.random.below(9) {
                0..=3 => class += self.random.pick(CHARACTERS),
                4 => {
                    let first = self.random.pick(CHARACTERS);
                    let last = self.random.pick(CHARACTERS);
                    class += &format!("{first}-{last}");
                }
                5 => class += self.random.pick(&CLASSES[1..]),
                6 => class += self.random.pick(ASCII_CLASSES),
                7 if depth > 0 => class += &self.class(depth - 1),
                7 => class += "x",
                _ => {
                    class += self.random.pick(&["&&", "--", "~~"]);
                    class += self.random.pick(&[r"\w", "a-k", "[^a]", "é"]);
                }
            }
        }
        class + "]"
    }
}

pub fn text(random: &mut Random) -> Vec<u8> {
    let count = random.below(8);
    let choices = if random.below(2) == 0 { TEXT } else { &TEXT[..3] };
    (0..count).flat_map(|_| choices[random.below(choices.len())].to_vec()).collect()
}
