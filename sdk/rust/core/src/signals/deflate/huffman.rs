//! What a block of deflate costs in bits: Huffman code lengths as zlib chooses them (RFC 1951).
//!
//! Any Huffman code of the symbols has the same cost, but not the description of its lengths, which
//! goes before it. So ties are settled as zlib settles them: by depth, then by place in the heap.

use alloc::vec;
use alloc::vec::Vec;

const END_OF_BLOCK: usize = 256;
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
const LENGTHS: usize = 19;
const CODE_BITS_MAX: usize = 15;
const LENGTHS_BITS_MAX: usize = 7;
/// The order in which the lengths of the description's own code are written; four of them always are.
const LENGTHS_ORDER: [usize; LENGTHS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LENGTHS_WRITTEN_MIN: usize = 4;
/// How many codes of each kind there are, before the description.
const COUNTS_BITS: usize = 5 + 5 + 4;

const REPEAT_LAST: usize = 16;
const REPEAT_ZERO: usize = 17;
const REPEAT_MANY_ZEROS: usize = 18;

/// The symbols of one block, counted.
pub(super) struct Block {
    symbols: usize,
    literals: [usize; LITERALS],
    distances: [usize; DISTANCES],
}

/// Bits of a block but for the three that say how it is written.
pub(super) struct Cost {
    /// Under its own codes, with their description.
    pub(super) own: usize,
    /// Under the fixed codes.
    pub(super) fixed: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        let mut literals = [0; LITERALS];
        literals[END_OF_BLOCK] = 1;
        Self { symbols: 0, literals, distances: [0; DISTANCES] }
    }

    /// Returns how many literals and matches are in it.
    pub(super) fn symbols(&self) -> usize {
        self.symbols
    }

    pub(super) fn count_literal(&mut self, byte: u8) {
        self.symbols += 1;
        self.literals[usize::from(byte)] += 1;
    }

    /// Counts a match of 3 … 258 bytes, 1 … 32,768 bytes back.
    pub(super) fn count_match(&mut self, length: usize, distance: usize) {
        self.symbols += 1;
        self.literals[length_symbol(length)] += 1;
        self.distances[distance_symbol(distance)] += 1;
    }

    pub(super) fn cost(&self) -> Cost {
        let literals = Code::of(&self.literals, CODE_BITS_MAX);
        let distances = Code::of(&self.distances, CODE_BITS_MAX);
        let mut described = [0; LENGTHS];
        describe(literals.used(), &mut described);
        describe(distances.used(), &mut described);
        let lengths = Code::of(&described, LENGTHS_BITS_MAX);
        let last = LENGTHS_ORDER.iter().rposition(|symbol| lengths.lengths[*symbol] != 0);
        let written = last.map_or(0, |last| last + 1).max(LENGTHS_WRITTEN_MIN);
        let behind = bits(&self.literals, literal_extra) + bits(&self.distances, distance_extra);
        Cost {
            own: COUNTS_BITS
                + 3 * written
                + bits(&described, |symbol| lengths.lengths[symbol] + length_extra(symbol))
                + bits(&self.literals, |symbol| literals.lengths[symbol])
                + bits(&self.distances, |symbol| distances.lengths[symbol])
                + behind,
            fixed: bits(&self.literals, fixed_literal) + bits(&self.distances, |_| 5) + behind,
        }
    }
}

/// Returns how many bits the symbols take, where one takes as many as `of` says.
fn bits(counts: &[usize], of: impl Fn(usize) -> usize) -> usize {
    counts.iter().enumerate().map(|(symbol, count)| count * of(symbol)).sum()
}

fn fixed_literal(symbol: usize) -> usize {
    match symbol {
        0..=143 => 8,
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    }
}

/// Returns the symbol of a match's length, of which the longest has one to itself.
fn length_symbol(length: usize) -> usize {
    let past = length - 3;
    match past {
        0..=7 => END_OF_BLOCK + 1 + past,
        255 => LITERALS - 1,
        _ => {
            let extra = past.ilog2() as usize - 2;
            END_OF_BLOCK + 1 + 4 * extra + (past >> extra)
        }
    }
}

fn distance_symbol(distance: usize) -> usize {
    let past = distance - 1;
    if past < 4 {
        return past;
    }
    let extra = past.ilog2() as usize - 1;
    2 * extra + (past >> extra)
}

/// Bits that follow a literal's or a length's code.
fn literal_extra(symbol: usize) -> usize {
    match symbol {
        265..=284 => (symbol - 261) / 4,
        _ => 0,
    }
}

/// Bits that follow a distance's code.
fn distance_extra(symbol: usize) -> usize {
    (symbol / 2).saturating_sub(1)
}

/// Bits that follow a code in the description.
fn length_extra(symbol: usize) -> usize {
    match symbol {
        REPEAT_LAST => 2,
        REPEAT_ZERO => 3,
        REPEAT_MANY_ZEROS => 7,
        _ => 0,
    }
}

/// Counts the symbols that describe a code's lengths: runs of equal ones have symbols of their own.
fn describe(lengths: &[usize], described: &mut [usize; LENGTHS]) {
    let mut before = None;
    let mut run = 0;
    let (mut run_max, mut run_min) = run_bounds(None, lengths.first());
    for (symbol, length) in lengths.iter().enumerate() {
        let next = lengths.get(symbol + 1);
        run += 1;
        if run < run_max && Some(length) == next {
            continue;
        }
        if run < run_min {
            described[*length] += run;
        } else if *length != 0 {
            if Some(length) != before {
                described[*length] += 1;
            }
            described[REPEAT_LAST] += 1;
        } else if run <= 10 {
            described[REPEAT_ZERO] += 1;
        } else {
            described[REPEAT_MANY_ZEROS] += 1;
        }
        run = 0;
        before = Some(length);
        (run_max, run_min) = run_bounds(before, next);
    }
}

/// Returns the longest and the shortest run of the next length that is written as one.
fn run_bounds(length: Option<&usize>, next: Option<&usize>) -> (usize, usize) {
    match next {
        Some(0) => (138, 3),
        Some(_) if length == next => (6, 3),
        _ => (7, 4),
    }
}

/// A Huffman code of limited length.
struct Code {
    /// Bits of each symbol, 0 where it does not occur.
    lengths: Vec<usize>,
    last: usize,
}

impl Code {
    fn of(counts: &[usize], bits_max: usize) -> Self {
        let mut heap = Heap::new(counts);
        let last = heap.last;
        let joined = heap.join(counts.len());
        Self { lengths: lengths(&joined, counts.len(), bits_max), last }
    }

    /// The lengths up to the last symbol that has a code.
    fn used(&self) -> &[usize] {
        &self.lengths[..=self.last]
    }
}

/// A node of the tree and that above it, by number: first the symbols, then the nodes made of two.
type Joined = (usize, usize);

/// zlib's heap of what is to be joined, the rarest on top.
struct Heap {
    /// From place 1 on.
    nodes: Vec<usize>,
    counts: Vec<usize>,
    depths: Vec<usize>,
    last: usize,
}

impl Heap {
    fn new(counts: &[usize]) -> Self {
        let mut counts = counts.to_vec();
        let mut nodes = vec![0];
        nodes.extend((0..counts.len()).filter(|symbol| counts[*symbol] != 0));
        // A code has two symbols at least; one that is added costs nothing, since it never occurs.
        let mut last = nodes[1..].last().copied();
        while nodes.len() <= 2 {
            let added = match last {
                Some(last @ 0..=1) => last + 1,
                _ => 0,
            };
            last = last.max(Some(added));
            counts[added] = 1;
            nodes.push(added);
        }
        let depths = vec![0; counts.len()];
        let mut heap = Self { nodes, counts, depths, last: last.unwrap_or_default() };
        for place in (1..=(heap.nodes.len() - 1) / 2).rev() {
            heap.sift(place);
        }
        heap
    }

    /// Joins the two rarest nodes until one is left; returns what was joined, the rarest first.
    fn join(&mut self, symbols: usize) -> Vec<Joined> {
        let mut joined = Vec::with_capacity(2 * symbols);
        while self.nodes.len() > 2 {
            let node = self.counts.len();
            let rarest = self.nodes.swap_remove(1);
            self.sift(1);
            let next = self.nodes[1];
            joined.extend([(rarest, node), (next, node)]);
            self.counts.push(self.counts[rarest] + self.counts[next]);
            self.depths.push(self.depths[rarest].max(self.depths[next]) + 1);
            self.nodes[1] = node;
            self.sift(1);
        }
        joined
    }

    /// Moves the node at a place down to where it belongs.
    fn sift(&mut self, mut place: usize) {
        let node = self.nodes[place];
        loop {
            let mut child = 2 * place;
            let Some(&first) = self.nodes.get(child) else {
                break;
            };
            let mut below = first;
            if let Some(&second) = self.nodes.get(child + 1) {
                if self.is_rarer(second, first) {
                    (child, below) = (child + 1, second);
                }
            }
            if self.is_rarer(node, below) {
                break;
            }
            self.nodes[place] = below;
            place = child;
        }
        self.nodes[place] = node;
    }

    fn is_rarer(&self, one: usize, other: usize) -> bool {
        (self.counts[one], self.depths[one]) <= (self.counts[other], self.depths[other])
    }
}

/// Returns how long the code of each symbol is, none longer than the limit.
fn lengths(joined: &[Joined], symbols: usize, bits_max: usize) -> Vec<usize> {
    // Of the nodes made of two as well; the root, which nothing is above, has none.
    let mut lengths = vec![0; symbols + joined.len() / 2];
    let mut of_length = [0_usize; CODE_BITS_MAX + 1];
    let mut overlong = 0;
    for (node, above) in joined.iter().rev() {
        let length = lengths[*above] + 1;
        overlong += usize::from(length > bits_max);
        lengths[*node] = length.min(bits_max);
        if *node < symbols {
            of_length[lengths[*node]] += 1;
        }
    }
    if overlong > 0 {
        shorten(&mut of_length[..=bits_max], overlong);
        // The longest codes go to the rarest symbols.
        let mut rarest = joined.iter().map(|(node, _)| *node).filter(|node| *node < symbols);
        for (length, count) in of_length.iter().enumerate().rev() {
            for symbol in rarest.by_ref().take(*count) {
                lengths[symbol] = length;
            }
        }
    }
    lengths.truncate(symbols);
    lengths
}

/// Moves leaves of the tree up until it has room for those that were too deep.
fn shorten(of_length: &mut [usize], overlong: usize) {
    let deepest = of_length.len() - 1;
    for _ in 0..overlong.div_ceil(2) {
        let Some(length) = of_length[..deepest].iter().rposition(|count| *count > 0) else {
            return;
        };
        of_length[length] -= 1;
        of_length[length + 1] += 2;
        of_length[deepest] -= 1;
    }
}
