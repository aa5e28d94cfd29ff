package pcs

import "errors"

// ErrContract is what every error of this package is, as errors.Is says: the
// input breaks a rule, and a repeat will fail in the same way.
var ErrContract = errors.New("the contract is broken")

// Code is a stable word under which a record is refused (specs/pcs.md section
// 1.3): what a caller branches on.
type Code string

// The codes of refusals.
const (
	TooLarge               Code = "too_large"
	BadEncoding            Code = "bad_encoding"
	MalformedJSON          Code = "malformed_json"
	UnsupportedVersion     Code = "unsupported_version"
	InvalidRecord          Code = "invalid_record"
	PCSIDMismatch          Code = "pcs_id_mismatch"
	UnknownKey             Code = "unknown_key"
	SignatureMissing       Code = "signature_missing"
	SignatureInvalid       Code = "signature_invalid"
	KeyNotValidNow         Code = "key_not_valid_now"
	UnsignedMemberMismatch Code = "unsigned_member_mismatch"
)

// Refusal is why a record must not be accepted: the one rule it breaks first.
type Refusal struct {
	// Code is what a caller branches on.
	Code Code
	// Reason is the rule, a word in snake_case that is stable too.
	Reason string
	// Member is the path of the offending member ("N_j.4"), empty where there
	// is none.
	Member string
	// Message reads "where: expected X, got Y" and holds no value.
	Message string
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// Is reports whether target is ErrContract.
func (r *Refusal) Is(target error) bool { return target == ErrContract }

// ContractError is any other input that breaks a rule: a value without JSON
// form, a proof that does not hold, a key that cannot sign.
type ContractError struct {
	// Message reads "where: expected X, got Y" and holds no value.
	Message string
}

// Error returns the message.
func (e *ContractError) Error() string { return e.Message }

// Is reports whether target is ErrContract.
func (e *ContractError) Is(target error) bool { return target == ErrContract }

func contract(message string) error { return &ContractError{Message: message} }

func refuse(code Code, reason, member, message string) *Refusal {
	return &Refusal{Code: code, Reason: reason, Member: member, Message: message}
}
