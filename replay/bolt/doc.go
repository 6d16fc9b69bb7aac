// Package bolt keeps histories in one file, through go.etcd.io/bbolt. Its Store
// is a replay.Store for a service that runs as one process and must survive it.
//
// # Guarantees
//
//   - What was acknowledged survives. An Append returns when its entries have
//     been synced to the disk: kill -9, a crash of the machine or a power cut
//     lose nothing that was acknowledged, and leave nothing half done. That holds
//     as far as the disk keeps what it has synced.
//   - No call returns what is not on the disk yet, so a power cut takes back
//     nothing that was read.
//   - Everything is in the file. Nothing per history is held in memory, whether
//     the file has a hundred histories or a million, and a store that is opened
//     again continues with the same epochs and revisions.
//   - One process has the file open. A second Open fails at once, with ErrLocked.
//   - Damage ends no process, and no call takes it for data. See below.
//
// # Speed
//
// To sync a disk takes the same time for one entry as for a thousand. So batches
// that arrive while others are being committed are committed together, whatever
// their ids (group commit). One caller at a time gets as many appends as the disk
// syncs; many callers get many times as much. A file on a network costs its round
// trip with every commit, and its locks often do not work: use a local disk.
//
// A reader waits for the disk only while a commit that it already sees is being
// synced. Open takes the same time for a large file as for a small one.
//
// # When the disk fails
//
// A batch that cannot be committed, because the disk is full, cannot be written
// or fails, is refused with an error that wraps replay.ErrUnavailable and the
// cause, and says what to do. Reads continue. The store continues as soon as the
// disk does; nothing has to be opened again. While it is not known whether a
// commit has reached the disk, nothing is read or written.
//
// # When the file is replaced
//
// Each commit verifies that the file is still at its path. Where it was removed,
// or another file has taken its place, Append fails with ErrFileReplaced, because
// the next start would not find what it wrote. Reads continue from the file that
// is open. When the file is back at its path, the store continues. Overwriting
// the content of an open file cannot be noticed reliably: do not do it.
//
// # Damage
//
// A file whose meta pages, root or list of free pages are damaged is refused with
// ErrDamaged, and one of another program with ErrForeign; neither is written to.
// Every other page is verified when a call needs it for the first time after
// Open: its place, its layout, the order of its keys and the checksums of its
// values. A call that needs a damaged page fails with ErrDamaged, and the
// Logger receives it, once a minute at most. Histories on other pages can be
// used. Check reads all of a file and says what is damaged; restore a backup
// then.
//
// A page that is damaged after it was verified is found by the checksums of its
// values, which may be after a search has missed a key.
//
// The newest of the two meta pages decides what is in the file. Where one of them
// is damaged, the file may have lost its last commit, with what was acknowledged
// in it:
//
//   - A meta page that was overwritten, zeroed, or is of another transaction than
//     the one that belongs there, is no trace of a commit. Open refuses it.
//   - A meta page that is right but for its content and checksum can be what a
//     power cut leaves of a commit that nothing was acknowledged in, or damage.
//     Open logs it and continues with the other one. No cursor may mean two
//     entries, so all histories are marked with replay.Head.RestartAfter, and each
//     continues only in a later epoch; see replay.Batch.Entries. A file that was
//     closed has all of its content behind both meta pages.
//
// # Snapshots
//
// The file has the newest snapshot of each history, in parts of 2,000 bytes. A
// batch with a snapshot replaces it in the same commit, and writes the parts that
// differ from those before; a batch without one costs the size of its entries,
// however large the state. The pages of a snapshot that was replaced are used
// again. Load reads the snapshot unless its caller knows the state already.
//
// # Retention
//
// The whole history is kept unless Options bound it. A bound trims a history
// when it is appended to, some hundred entries at a time, so lowering the bounds
// of a large file takes effect step by step. Entries from before a history was
// restarted count, and go first.
//
// No bound removes or hides the newest snapshot or an entry after it: they lead to
// the newest state. Such an entry counts all the same, and is trimmed when there is
// a later snapshot.
//
// A removed history is gone at once, and nothing of it is ever found again. Its
// entries are deleted in parts, between other commits. A tombstone keeps its last
// position for 30 days. After that, the store knows for all such histories
// together the latest epoch that one of them had, and refuses that and earlier
// ones to every id of which it knows nothing else, with replay.ConflictRemoved.
// Epochs from replay.NewEpoch are hardly ever refused for it.
//
// The room of what was deleted is used again, but the file does not shrink. To
// shrink it, close the store and run `bbolt compact -o new.db old.db` (from
// go.etcd.io/bbolt/cmd/bbolt), then rename the new file to the old name.
//
// # Backups
//
// Store.WriteTo writes a copy while the store is used. A closed file may be
// copied by any means; a file that is in use may not, as a copy takes longer
// than a commit. To restore a backup, stop the service and put the file in its
// place; do not write over a file that is in use.
//
// An older backup takes the histories back. Clients may hold cursors of what
// came later: those beyond a restored head are refused with replay.ErrFutureCursor
// until the history has grown past them, and from then on they would mean other
// entries. So start each history over in a new epoch after restoring a backup
// under clients that are still connected; see replay.Batch.Entries.
//
// # The file
//
// It is a bbolt database, which the tools of bbolt can read, with a few flat
// buckets that all histories share: heads (id to position, counts and meta),
// entries (by number of the history, epoch and revision), keys (hash of the
// idempotency key to position), states (by number of the history, the parts of its
// newest snapshot), ended and endings (tombstones by id and by time), removed
// (histories that are not deleted completely), and format (which identifies the
// file). Each value ends with a CRC-32C of its bucket, key and content, and a head
// has the length and the CRC-32C of its snapshot, so that a snapshot of another
// position is never taken for it. The byte order is the machine's, so a file does
// not move between machines of different order.
//
// # Earlier versions
//
// This is format 3. Format 2 had a state behind the data of each entry that
// changed it, and no snapshots. Open brings such a file forward: it writes the new
// number, in one small commit whatever the size of the file, and logs it. From then
// on, earlier versions of this package refuse the file, so keep a backup if you may
// have to go back. The newest state of a history counts as a snapshot at its newest
// entry, and the first append to the history stores it as one. The entries stay
// readable, without their states, whose room is free when they are trimmed. Other
// formats are refused with ErrForeign.
package bolt
