// Package audit lets a third party check a history without trusting the service that
// keeps it.
//
// Export writes a history as JSON Lines. ReadEntries reads such an export, strictly, so
// that sharedata.Verify works on it without a manager.
//
// The hash chain reveals a changed entry unless all later hashes were recomputed, and
// cannot reveal that the last entries were cut off. Checkpoints reveal both: a service
// periodically signs which hash the newest entry has (Signer, Checkpointer), and gives
// the Checkpoint to others. Verify checks an export against the checkpoints in it and against
// those that the auditor has collected.
//
// The package's document, docs/audit.md, has the form of entries and checkpoints byte by
// byte, and says what an auditor can and cannot conclude.
package audit
