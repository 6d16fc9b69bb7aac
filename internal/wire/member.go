package wire

// member is a known member of a frame.
type member uint8

const (
	memberV member = iota
	memberType
	memberShareDataID
	memberSince
	memberReplayLifecycle
	memberKeepConnection
	memberPatches
	memberIncludeState
	memberActivity
	memberConflate
	memberFunctionID
	memberProposedData
	memberCorrelationID
	memberProof
	memberIdempotencyKey
	memberCurrentState
	memberLastTransactionID
	memberCursor
	memberRevision
	memberReplaying
	memberResumed
	memberSkipped
	memberStateHash
	memberPatch
	memberTransactionID
	memberAccepted
	memberReplayed
	memberEvent
	memberError
	memberDuplicate
	memberDetails
	memberRetryAfterMs
	memberCode
	memberMessage
	memberToken
	memberTokenExpiry
	memberTokenExpiresInMs
	memberCount // the number of members; also stands for an unknown member
)

// memberNames are the names of the members in a frame.
var memberNames = [memberCount]string{
	memberV:                 "v",
	memberType:              "type",
	memberShareDataID:       "shareDataId",
	memberSince:             "since",
	memberReplayLifecycle:   "replayLifecycle",
	memberKeepConnection:    "keepConnection",
	memberPatches:           "patches",
	memberIncludeState:      "includeState",
	memberActivity:          "activity",
	memberConflate:          "conflate",
	memberFunctionID:        "functionId",
	memberProposedData:      "proposedData",
	memberCorrelationID:     "correlationId",
	memberProof:             "proof",
	memberIdempotencyKey:    "idempotencyKey",
	memberCurrentState:      "currentState",
	memberLastTransactionID: "lastTransactionId",
	memberCursor:            "cursor",
	memberRevision:          "revision",
	memberReplaying:         "replaying",
	memberResumed:           "resumed",
	memberSkipped:           "skipped",
	memberStateHash:         "stateHash",
	memberPatch:             "patch",
	memberTransactionID:     "transactionId",
	memberAccepted:          "accepted",
	memberReplayed:          "replayed",
	memberEvent:             "event",
	memberError:             "error",
	memberDuplicate:         "duplicate",
	memberDetails:           "details",
	memberRetryAfterMs:      "retryAfterMs",
	memberCode:              "code",
	memberMessage:           "message",
	memberToken:             "token",
	memberTokenExpiry:       "tokenExpiry",
	memberTokenExpiresInMs:  "tokenExpiresInMs",
}

// memberNamed returns the member with the name, or memberCount.
func memberNamed(name []byte) member {
	for m, known := range memberNames {
		if known == string(name) {
			return member(m)
		}
	}
	return memberCount
}

// pointer returns the JSON Pointer (RFC 6901) to the member.
func (m member) pointer() string { return "/" + memberNames[m] }
