package pcs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
)

const (
	hmacBytes             = sha256.Size
	hmacSecretBytesMin    = 32
	ed25519SignatureBytes = ed25519.SignatureSize
	ed25519PublicBytes    = ed25519.PublicKeySize
	ed25519SeedBytes      = ed25519.SeedSize
)

// SignHMAC returns the 32-byte HMAC-SHA256 tag of a message (RFC 2104).
func SignHMAC(secret, message []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(message)
	return mac.Sum(nil)
}

// VerifyHMAC reports whether the whole 32-byte tag is the message's, compared in
// constant time.
func VerifyHMAC(secret, message, tag []byte) bool {
	return hmac.Equal(SignHMAC(secret, message), tag)
}

// SignEd25519 returns the 64-byte signature of a message by a seed of 32 bytes
// (RFC 8032, pure). The error is a *ContractError: the seed has another length.
func SignEd25519(seed, message []byte) ([]byte, error) {
	if len(seed) != ed25519SeedBytes {
		return nil, wrongSeed()
	}
	return ed25519.Sign(ed25519.NewKeyFromSeed(seed), message), nil
}

// Ed25519Public returns the public key of a seed of 32 bytes. The error is a
// *ContractError: the seed has another length.
func Ed25519Public(seed []byte) ([]byte, error) {
	if len(seed) != ed25519SeedBytes {
		return nil, wrongSeed()
	}
	return ed25519.NewKeyFromSeed(seed)[ed25519SeedBytes:], nil
}

func wrongSeed() error { return contract("Ed25519 seed: expected 32 bytes, got another number") }

// VerifyEd25519 reports whether a signature holds under the strict rule of
// specs/pcs.md section 2. RFC 8032 leaves a verifier room, and libraries use it
// differently; this rule leaves none: S is below L, key and R are encoded
// canonically and of no small order, and the cofactorless equation holds with R
// compared as bytes. It is what libsodium does.
func VerifyEd25519(public, message, signature []byte) bool {
	if len(public) != ed25519PublicBytes || len(signature) != ed25519SignatureBytes {
		return false
	}
	if !isStrictPoint(public) || !isStrictPoint(signature[:32]) {
		return false
	}
	// The standard library refuses S of L or more, encodes what R should be and
	// compares the bytes: the cofactorless equation.
	return ed25519.Verify(public, message, signature)
}

var (
	// fieldPrime is p = 2^255 - 19, little-endian.
	fieldPrime = littleEndian(0xed, 0xff, 0x7f)
	// smallOrderY are the y of the points of order 1, 2, 4 and 8. With the sign
	// bit, and the encodings of y + p that are refused as not canonical, these
	// are the 14 encodings of small order.
	smallOrderY = [][32]byte{
		littleEndian(0, 0, 0),
		littleEndian(1, 0, 0),
		littleEndian(0xec, 0xff, 0x7f),
		{
			0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
			0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
		},
		{
			0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
			0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
		},
	}
)

// littleEndian returns a number by its first byte, those between, and its last.
func littleEndian(first, between, last byte) (number [32]byte) {
	for i := range number {
		number[i] = between
	}
	number[0], number[31] = first, last
	return number
}

// isStrictPoint reports whether 32 bytes are canonical (y < p) and of none of
// the small-order points. Bytes that name no point at all pass here and fail in
// the equation.
func isStrictPoint(encoding []byte) bool {
	var y [32]byte
	copy(y[:], encoding)
	y[31] &= 0x7f
	for i := range smallOrderY {
		if y == smallOrderY[i] {
			return false
		}
	}
	// 2^255 - 19 and what is above it differ from it in the first byte only.
	return y[0] < fieldPrime[0] || !bytes.Equal(y[1:], fieldPrime[1:])
}
