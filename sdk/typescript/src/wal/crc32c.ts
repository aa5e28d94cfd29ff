/**
 * CRC-32C (Castagnoli, initial value and final XOR of RFC 3720), eight bytes a step.
 *
 * The platform has no such function, and a segment's every byte is summed once when it is written.
 */

const SLICES = 8;
const TABLES = makeTables();

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1;
    first[byte] = rest >>> 0;
  }
  const tables = [first];
  for (let slice = 1; slice < SLICES; slice += 1) {
    const before = tables[slice - 1] as Uint32Array;
    tables.push(before.map((sum) => ((first[sum & 255] as number) ^ (sum >>> 8)) >>> 0));
  }
  return tables;
}

/** Return the checksum of `data` behind bytes whose checksum is `crc` (0: of none). */
export function crc32c(data: Uint8Array, crc = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Uint32Array, Uint32Array, Uint32Array, Uint32Array,
    Uint32Array, Uint32Array, Uint32Array, Uint32Array,
  ];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const whole = data.length - (data.length % SLICES);
  let sum = ~crc;
  let at = 0;
  // Every index is a byte, and each table has an entry for each byte.
  for (; at < whole; at += SLICES) {
    const low = sum ^ view.getUint32(at, true);
    const high = view.getUint32(at + 4, true);
    sum =
      t7[low & 255]! ^ t6[(low >>> 8) & 255]! ^ t5[(low >>> 16) & 255]! ^ t4[low >>> 24]! ^
      t3[high & 255]! ^ t2[(high >>> 8) & 255]! ^ t1[(high >>> 16) & 255]! ^ t0[high >>> 24]!;
  }
  for (; at < data.length; at += 1) sum = t0[(sum ^ data[at]!) & 255]! ^ (sum >>> 8);
  return ~sum >>> 0;
}
