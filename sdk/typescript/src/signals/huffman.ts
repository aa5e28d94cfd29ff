/**
 * What a block of deflate costs in bits: Huffman code lengths as zlib chooses them (RFC 1951).
 *
 * Any Huffman code of the symbols has the same cost, but not the description of its lengths, which
 * goes before it. So ties are settled as zlib settles them: by depth, then by place in the heap.
 */

const END_OF_BLOCK = 256;
const LITERALS = 286;
const DISTANCES = 30;
const LENGTH_CODES = 19;
const CODE_BITS_MAX = 15;
const DESCRIPTION_BITS_MAX = 7;
/** The order in which the lengths of the description's own code are written. */
const DESCRIPTION_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

interface Alphabet {
  readonly size: number;
  readonly bitsMax: number;
  /** Bits of a symbol in the fixed code, 0 where there is none. */
  readonly fixedBits: (symbol: number) => number;
  /** Bits that follow a symbol's code. */
  readonly extraBits: (symbol: number) => number;
}

const LITERAL_ALPHABET: Alphabet = {
  size: LITERALS,
  bitsMax: CODE_BITS_MAX,
  fixedBits: (symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8),
  // The last code is that of the longest match alone, and has no bits behind it.
  extraBits: (symbol) => (symbol < 265 || symbol === 285 ? 0 : (symbol - 261) >> 2),
};
const DISTANCE_ALPHABET: Alphabet = {
  size: DISTANCES,
  bitsMax: CODE_BITS_MAX,
  fixedBits: () => 5,
  extraBits: (symbol) => (symbol < 4 ? 0 : (symbol - 2) >> 1),
};
const DESCRIPTION_ALPHABET: Alphabet = {
  size: LENGTH_CODES,
  bitsMax: DESCRIPTION_BITS_MAX,
  fixedBits: () => 0,
  extraBits: (symbol) => [2, 3, 7][symbol - 16] ?? 0,
};

/** The symbols of one block, counted. */
export class BlockCounts {
  private readonly literals = new Uint32Array(LITERALS);
  private readonly distances = new Uint32Array(DISTANCES);
  /** Literals and matches so far. */
  symbols = 0;

  literal(byte: number): void {
    this.literals[byte] = (this.literals[byte] as number) + 1;
    this.symbols += 1;
  }

  /** Counts a match of 3 … 258 bytes, 1 … 32,768 bytes back. */
  match(length: number, distance: number): void {
    const [long, far] = [lengthCode(length), distanceCode(distance)];
    this.literals[long] = (this.literals[long] as number) + 1;
    this.distances[far] = (this.distances[far] as number) + 1;
    this.symbols += 1;
  }

  /**
   * Returns where a stream ends, in bits, once this block was written to it in the shortest of the
   * three ways.
   *
   * @param start where it ends now.
   * @param bytes how many bytes of input the block stands for.
   */
  endOf(start: number, bytes: number): number {
    this.literals[END_OF_BLOCK] = 1;
    const literals = codeOf(this.literals, LITERAL_ALPHABET);
    const distances = codeOf(this.distances, DISTANCE_ALPHABET);
    const described = new Uint32Array(LENGTH_CODES);
    describe(literals, described);
    describe(distances, described);
    const description = codeOf(described, DESCRIPTION_ALPHABET);
    const places = DESCRIPTION_ORDER.findLastIndex(
      (symbol, place) => place < 3 || description.lengths[symbol] !== 0,
    );
    const dynamic =
      literals.bits + distances.bits + description.bits + 3 * (Math.max(places, 3) + 1) + 14;
    const fixed = literals.fixedBits + distances.fixedBits;
    const dynamicBytes = (dynamic + 3 + 7) >> 3;
    const fixedBytes = (fixed + 3 + 7) >> 3;
    if (bytes + 4 <= Math.min(dynamicBytes, fixedBytes)) {
      return (((start + 3 + 7) >> 3) + 4 + bytes) * 8; // stored: at a whole byte
    }
    return start + 3 + (fixedBytes <= dynamicBytes ? fixed : dynamic);
  }
}

function lengthCode(length: number): number {
  if (length === 258) return 285;
  const past = length - 3;
  if (past < 8) return 257 + past;
  const bits = 31 - Math.clz32(past) - 2;
  return 257 + 4 * (bits + 1) + ((past >> bits) & 3);
}

function distanceCode(distance: number): number {
  const past = distance - 1;
  if (past < 4) return past;
  const bits = 31 - Math.clz32(past) - 1;
  return 2 * (bits + 1) + ((past >> bits) & 1);
}

interface Code {
  /** Bits of each symbol's code, 0 where it does not occur. */
  readonly lengths: Uint8Array;
  /** The last symbol that has a code. */
  readonly last: number;
  /** Bits of all symbols under this code, with what follows them. */
  readonly bits: number;
  /** And under the fixed code. */
  readonly fixedBits: number;
}

function codeOf(counts: Uint32Array, alphabet: Alphabet): Code {
  const tree = new Tree(counts, alphabet.bitsMax);
  let [bits, fixedBits] = [0, 0];
  for (let symbol = 0; symbol < alphabet.size; symbol++) {
    const count = counts[symbol] as number;
    const extra = alphabet.extraBits(symbol);
    bits += count * ((tree.lengths[symbol] as number) + extra);
    fixedBits += count * (alphabet.fixedBits(symbol) + extra);
  }
  return { lengths: tree.lengths, last: tree.last, bits, fixedBits };
}

/** Counts the symbols that describe a code's lengths: runs of equal ones have symbols of their own. */
function describe({ lengths, last }: Code, described: Uint32Array): void {
  const count = (symbol: number, times = 1): void => {
    described[symbol] = (described[symbol] as number) + times;
  };
  let [before, run] = [-1, 0];
  let [runMax, runMin] = lengths[0] === 0 ? [138, 3] : [7, 4];
  for (let symbol = 0; symbol <= last; symbol++) {
    const length = lengths[symbol] as number;
    const next = symbol < last ? (lengths[symbol + 1] as number) : -1;
    if (++run < runMax && length === next) continue;
    if (run < runMin) count(length, run);
    else if (length !== 0) {
      if (length !== before) count(length);
      count(16);
    } else count(run <= 10 ? 17 : 18);
    run = 0;
    before = length;
    [runMax, runMin] = next === 0 ? [138, 3] : length === next ? [6, 3] : [7, 4];
  }
}

/** A Huffman tree, built with zlib's heap. */
class Tree {
  readonly lengths: Uint8Array;
  readonly last: number;
  private readonly heap: number[] = [0]; // from place 1 on
  private readonly count: number[];
  private readonly depth: number[];

  constructor(counts: Uint32Array, bitsMax: number) {
    const size = counts.length;
    this.lengths = new Uint8Array(size);
    this.count = [...counts];
    this.depth = new Array<number>(size).fill(0);
    const used = [...counts.keys()].filter((symbol) => counts[symbol] !== 0);
    let last = used.at(-1) ?? -1;
    // Two codes at least, so that each has a bit; what is added costs nothing, since it never occurs.
    while (used.length < 2) {
      const added = last < 2 ? ++last : 0;
      used.push(added);
      this.count[added] = 1;
    }
    this.last = last;
    this.heap.push(...used);
    for (let place = used.length >> 1; place >= 1; place--) this.sift(place);
    this.measure(this.joined(size), size, bitsMax);
  }

  /** Joins the two rarest until one is left; returns [node, parent], the root first. */
  private joined(size: number): [number, number][] {
    const parents: [number, number][] = [];
    for (let node = size; this.heap.length > 2; node++) {
      const rarest = this.heap[1] as number;
      this.heap[1] = this.heap.pop() as number;
      this.sift(1);
      const next = this.heap[1] as number;
      parents.push([rarest, node], [next, node]);
      this.count[node] = (this.count[rarest] as number) + (this.count[next] as number);
      this.depth[node] = Math.max(this.depth[rarest] as number, this.depth[next] as number) + 1;
      this.heap[1] = node;
      this.sift(1);
    }
    return parents.reverse();
  }

  private measure(parents: [number, number][], size: number, bitsMax: number): void {
    const depths: number[] = [];
    const perLength = new Array<number>(bitsMax + 1).fill(0);
    let overlong = 0;
    for (const [node, parent] of parents) {
      const depth = (depths[parent] ?? 0) + 1;
      if (depth > bitsMax) overlong += 1;
      depths[node] = Math.min(depth, bitsMax);
      if (node >= size) continue;
      const length = depths[node] as number;
      this.lengths[node] = length;
      perLength[length] = (perLength[length] as number) + 1;
    }
    if (overlong > 0) this.shorten(parents, size, perLength, overlong);
  }

  /** Moves leaves up until no code is too long, and gives the longest codes to the rarest again. */
  private shorten(
    parents: [number, number][],
    size: number,
    perLength: number[],
    overlong: number,
  ): void {
    const longest = perLength.length - 1;
    for (let left = overlong; left > 0; left -= 2) {
      let length = longest - 1;
      while (perLength[length] === 0) length--;
      perLength[length] = (perLength[length] as number) - 1;
      perLength[length + 1] = (perLength[length + 1] as number) + 2;
      perLength[longest] = (perLength[longest] as number) - 1;
    }
    const rarestFirst = parents.map(([node]) => node).filter((node) => node < size).reverse();
    let place = 0;
    for (let length = longest; length > 0; length--) {
      for (let times = perLength[length] as number; times > 0; times--) {
        this.lengths[rarestFirst[place++] as number] = length;
      }
    }
  }

  private sift(from: number): void {
    const node = this.heap[from] as number;
    const end = this.heap.length - 1;
    let place = from;
    for (let child = 2 * place; child <= end; child = 2 * place) {
      if (child < end && this.isRarer(this.heap[child + 1] as number, this.heap[child] as number)) {
        child++;
      }
      if (this.isRarer(node, this.heap[child] as number)) break;
      this.heap[place] = this.heap[child] as number;
      place = child;
    }
    this.heap[place] = node;
  }

  private isRarer(a: number, b: number): boolean {
    const difference = (this.count[a] as number) - (this.count[b] as number);
    return difference < 0 || (difference === 0 && (this.depth[a] as number) <= (this.depth[b] as number));
  }
}
