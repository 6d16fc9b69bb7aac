// Package bolt keeps histories in one file, through go.etcd.io/bbolt. Its Store
// is a replay.Store for a service that runs as one process and must survive it.
//
// # What is promised
//
//   - What was acknowledged survives. An Append returns when its entries have
//     been synced to the disk: kill -9, a crash of the machine or a power cut
//     lose nothing that was acknowledged, and leave nothing half done. That is
//     as true as the disk's word that it has synced.
//   - Nobody is shown what the disk does not have yet, so nothing that was read
//     is taken back by a power cut either.
//   - Everything is in the file. Nothing per history is held in memory, whether
//     the file has a hundred histories or a million, and a store that is opened
//     again continues with the same epochs and revisions.
//   - One process. Whoever opens a file that is open is told so at once, with
//     ErrLocked.
//   - No surprises from the file. It is checked before it is used: each page, the
//     order of all keys and the checksum of each value. A file that is damaged,
//     or somebody else's, is refused with ErrDamaged or ErrForeign and is not
//     written to. What goes bad while the file is in use is found when it is
//     read, and is an ErrDamaged of the call that asked for it.
//
// # Speed
//
// To sync a disk takes the same time for one entry as for a thousand. So batches
// that arrive while others are being committed are committed together, whatever
// their ids. One caller at a time gets what the disk can sync in a second; many
// at once get many times as much. A file on a network costs its round trip with
// every commit, and its locks often do not work: use a local disk.
//
// A reader never waits for the disk, but for the moment in which what it would
// see is being synced.
//
// # When the disk fails
//
// A batch that cannot be committed, because the disk is full, may not be written
// or fails, is refused with an error that wraps replay.ErrUnavailable and the
// cause, and says what to do. Reads go on. The store goes on as soon as the disk
// does; nothing has to be opened again. If it is not known whether the commit
// has reached the disk, nothing is read or written until that is settled.
//
// # Retention
//
// The whole history is kept unless Options bound it. A bound trims a history
// when it is appended to, some hundred entries at a time, so lowering the bounds
// of a large file takes effect step by step. Entries from before a history was
// started over count, and go first.
//
// A removed history is gone at once, and nothing of it is ever found again. Its
// entries are deleted in pieces, between other commits. Where it ended is known
// for 30 days; after that, the store knows for all such histories together the
// latest epoch that one of them had, and refuses it and earlier ones to every id
// of which it knows nothing else, with a ConflictError that has Removed set.
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
// until the history has grown past them, and from then on would be answered with
// what is now at their place. Whoever restores a backup under clients that are
// still there should start each history over, in a new epoch, which every old
// cursor is told of; see replay.Batch.Entries.
//
// # The file
//
// It is a bbolt database, which the tools of bbolt can look into, with a few
// flat buckets that all histories share: heads (id to position, counts and
// meta), entries (by number of the history, epoch and revision), keys (hash of
// the idempotency key to position), states (the newest ones whose entries are
// gone), ended, endings and removed (of removed histories), and format, which
// tells it from other files. Each value ends with a CRC-32C of its bucket, key
// and content. The byte order is the machine's, so a file does not move between
// machines of different order.
package bolt
