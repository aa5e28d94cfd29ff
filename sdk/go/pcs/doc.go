// Package pcs reads, makes, signs and judges PCS records: what two programs
// must agree on about a record, to the byte. The rules are those of
// specs/pcs.md; every value they give is held to golden_vectors/.
//
// The way of a record that arrives:
//
//	ring, err := pcs.ParseKeyring(data, pcs.NoSecretsOutside)
//	found, err := pcs.Authenticate(body, ring)
//	outcome := pcs.Judge(found.Record, pcs.CurrentParams)
//
// and of one that is made:
//
//	record, err := pcs.Sign(&members, key)
//	body := record.Stored()
//
// Whatever is refused is refused with a *Refusal: a code, a reason and the
// member. Nothing here does I/O, reads a clock or panics on bytes it is given,
// and no message holds a value of a record or a secret.
package pcs
