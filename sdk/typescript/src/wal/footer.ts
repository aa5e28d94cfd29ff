/**
 * Seal a segment: what stands behind its last batch once nothing follows in it.
 *
 * The footer says by itself what the file held (`specs/storage.md` section 2); it is written when
 * everything before it is durable, so what does not verify before one is damage, no torn tail.
 */

import { crc32c } from "./crc32c.js";
import { HEADER_BYTES, type SegmentKey } from "./framing.js";

const FOOTER_MAGIC = Buffer.from("\xf1LBf", "latin1");
const BODY_AT = 8;
export const FOOTER_BYTES = 44;

/** A footer and where it stands; `whole` is the CRC-32C of everything before `offset`. */
export interface FooterAt {
  readonly kind: "footer";
  readonly offset: number;
  readonly end: number;
  readonly whole: number;
  readonly firstSeq: bigint;
  readonly nextSeq: bigint;
  readonly sealedNs: bigint;
}

/** Return the `FOOTER_BYTES` bytes that end a segment. */
export function packFooter(key: SegmentKey, footer: Omit<FooterAt, "kind" | "end">): Buffer {
  const data = Buffer.alloc(FOOTER_BYTES);
  FOOTER_MAGIC.copy(data);
  data.writeUInt32LE(footer.whole, 8);
  data.writeBigUInt64LE(footer.firstSeq ^ key.mask, 12);
  data.writeBigUInt64LE(footer.nextSeq ^ key.mask, 20);
  data.writeBigUInt64LE(BigInt(footer.offset), 28);
  data.writeBigUInt64LE(footer.sealedNs, 36);
  data.writeUInt32LE(crc32c(data.subarray(BODY_AT), key.crc), 4);
  return data;
}

/** Return the footer at `offset` when it stands whole below `end` and verifies. */
export function footerAt(data: Buffer, offset: number, end: number, key: SegmentKey): FooterAt | null {
  if (offset < HEADER_BYTES || end - offset < FOOTER_BYTES) return null;
  if (!data.subarray(offset, offset + 4).equals(FOOTER_MAGIC)) return null;
  const covered = crc32c(data.subarray(offset + BODY_AT, offset + FOOTER_BYTES), key.crc);
  if (covered !== data.readUInt32LE(offset + 4)) return null;
  const firstSeq = data.readBigUInt64LE(offset + 12) ^ key.mask;
  const nextSeq = data.readBigUInt64LE(offset + 20) ^ key.mask;
  if (Number(data.readBigUInt64LE(offset + 28)) !== offset || firstSeq > nextSeq) return null;
  return {
    kind: "footer",
    offset,
    end: offset + FOOTER_BYTES,
    whole: data.readUInt32LE(offset + 8),
    firstSeq,
    nextSeq,
    sealedNs: data.readBigUInt64LE(offset + 36),
  };
}
