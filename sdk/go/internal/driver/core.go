package main

import (
	"encoding/json"
	"errors"
	"sort"

	"fractallba"
	"fractallba/internal/vectors"
	"fractallba/pcs"
)

func init() {
	register("hello", hello)
	register("answer", answer)
	register("sign", sign)
}

func hello(json.RawMessage) (any, error) {
	names := make([]string, 0, len(ops))
	for name := range ops {
		names = append(names, name)
	}
	sort.Strings(names)
	return map[string]any{
		"sdk": "go", "version": fractallba.SDKVersion, "files": vectors.Files(), "ops": names,
	}, nil
}

func answer(line json.RawMessage) (any, error) {
	var request struct {
		File  string
		Input json.RawMessage
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	result, expected, err := vectors.Answer(request.File, request.Input)
	if err != nil {
		return nil, err
	}
	return map[string]any{"result": result, "expected": expected}, nil
}

func sign(line json.RawMessage) (any, error) {
	var request struct {
		Alg, KID string
		Secret   []byte
		Record   json.RawMessage
	}
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	newKey := map[string]func(string, []byte) (*pcs.Key, error){
		"hmac": pcs.NewHMACKey, "ed25519": pcs.NewEd25519Key,
	}[request.Alg]
	if newKey == nil {
		return nil, errors.New("alg: expected hmac or ed25519, got another")
	}
	key, err := newKey(request.KID, request.Secret)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(request.Record, key.KID)
	if err == nil {
		var record *pcs.Record
		if record, err = pcs.Sign(members, key); err == nil {
			return map[string]any{"body": record.Stored()}, nil
		}
	}
	var refusal *pcs.Refusal
	if !errors.As(err, &refusal) {
		return nil, err
	}
	var member any
	if refusal.Member != "" {
		member = refusal.Member
	}
	return map[string]any{"refused": map[string]any{
		"code": refusal.Code, "reason": refusal.Reason, "member": member,
	}}, nil
}

// membersOf reads a record that lacks kid, pcs_id and sig: as one that has the
// first two, which is how records are read.
func membersOf(data []byte, kid string) (*pcs.Members, error) {
	value, err := pcs.ParseJSON(data, pcs.RecordDepthMax)
	if err != nil {
		return nil, err
	}
	record, is := value.(map[string]any)
	if !is {
		return nil, errors.New("record: expected an object, got another value")
	}
	record["kid"] = kid
	root, _ := record["merkle_root"].(string)
	epoch, _ := record["epoch"].(float64)
	stream, _ := record["shard_id"].(string)
	record["pcs_id"] = pcs.PCSID(root, int64(epoch), stream)
	body, err := pcs.Canonical(record)
	if err != nil {
		return nil, err
	}
	read, err := pcs.ParseRecord(body)
	if err != nil {
		return nil, err
	}
	members := read.Members()
	return &members, nil
}
