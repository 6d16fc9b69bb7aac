// Package redis keeps histories in Redis 6.2 or later, shared by any number of
// processes, through go-redis v9: one server, a master watched by Sentinels, or
// a Redis Cluster (7.0 or later).
//
// # What it promises
//
//   - One winner. Each batch is one atomic step on the server, which compares
//     the head, appends, trims, keeps the newest snapshot and announces. However
//     many processes append, each revision is decided once.
//   - Once only. A batch carries a random token. If the reply to an Append is
//     lost, it is sent again and the server recognises it. If the server cannot, because
//     the history was removed, trimmed or lost meanwhile, Append fails with
//     ErrUnavailable. An Append that fails with ErrUnavailable may still have taken
//     effect, as replay.Store says.
//   - Nothing missed. Followers of a history are notified of appends through
//     pub/sub, and are notified with nil whenever an announcement may have been
//     lost: when the connection was replaced, when the server could not be
//     reached, and when the periodic check finds the history elsewhere.
//   - Fail fast. While a server cannot be reached, calls that need it fail within
//     microseconds with an error that wraps replay.ErrUnavailable, and one
//     goroutine pings it. When it replies, everything continues by itself. In a
//     cluster this applies to each master separately.
//   - No guesses. A history of which the server has lost a part, as by eviction,
//     is noticed: calls fail with ErrDamaged.
//   - No contradiction. If the server has lost a history as a whole, as by
//     FLUSHALL, but another process follows it, then that process is notified, and
//     Load and Read fail with ErrUnavailable, not ErrNotFound, until it has
//     restarted the history from its memory. The same holds for 5 s after this
//     Store noticed that a server was restarted or replaced, because followers may
//     not have subscribed again. A server needs up to its tcp-keepalive (300 s by
//     default) to notice that the machine of a follower is gone.
//
// # What it needs
//
// A server of record, not a cache:
//
//   - Persistence: appendonly yes. With appendfsync always, what was acknowledged
//     survives a crash of the machine; with everysec, up to about a second of it
//     may be lost. RDB files alone lose minutes.
//   - maxmemory-policy noeviction. Any other policy may evict histories, or the
//     tombstones of removed ones.
//   - Memory for everything: each history keeps its newest snapshot, and for each
//     entry its data, which say what changed instead of the whole state, and about
//     150 bytes more, or 250 with a key. So a ShareData with a state of 10 KB and a
//     million transactions of 500 bytes takes up to 750 MB. Bound it with Options
//     where the audit chain may end. When memory is used up, appends fail with
//     ErrRefused and everything can still be read.
//
// The first two are not required: a Warn is logged for a server that is configured
// otherwise. These are required:
//
//   - A client with ContextTimeoutEnabled; New fails otherwise. Its PoolSize bounds
//     how many calls are under way at once. Each server that has followed histories
//     takes one connection more.
//   - The version, and a client that suits the kind of server; calls fail with
//     ErrRefused otherwise.
//   - The permissions below, if the server has access control lists; calls fail
//     with ErrRefused otherwise. Without CONFIG GET, nothing is logged.
//
// For the default prefix, the user needs:
//
//	~safe:* &safe:* +@connection +info +config|get +scan +time +wait +cluster
//	+eval +evalsha +hget +hmget +hset +hdel +hlen +xadd +xlen +xrange +xtrim +exists +unlink +expire
//	+pubsub +publish +spublish +subscribe +unsubscribe +ssubscribe +sunsubscribe
//
// (spublish, ssubscribe and sunsubscribe exist since Redis 7 and are needed in a
// cluster.)
//
// # What a failover can lose
//
// Replication is asynchronous. When a master fails and a replica takes its
// place, the batches that the replica did not have yet are lost, although they
// were acknowledged and announced: the history rolls back. A master that is cut
// off from its Sentinels or its cluster may even take batches for a while that
// are discarded later. This package notices that a history is not where it was,
// and notifies its followers with nil. A sharedata.Manager then restarts it in a
// new epoch, so that what was lost is never mixed with what comes after.
//
// Options.WaitReplicas makes Append wait until that many replicas have the batch.
// That narrows the window and does not close it: a batch that too few replicas
// have in time stands at the master all the same, it is announced before they
// have it, and the replica that takes over may be one that does not. To have a
// master refuse batches when it is cut off, set its min-replicas-to-write and
// min-replicas-max-lag too.
//
// # How it is kept
//
// A history has up to four keys, which share a hash tag and so a slot of a
// cluster. In an id, %, { and } are written %25, %7B and %7D.
//
//	safe:{id}:h  hash, the head: position (c), token of the last batch (t), newest snapshot and its position (z, p),
//	             meta (m), whose reservation there is and until when (w, u), and how much there must be of the
//	             rest (e, n, y, g)
//	safe:{id}:s  stream: the entries; their ids are the cursors; none after the newest snapshot is ever trimmed
//	safe:{id}:k  hash, the index: idempotency key -> cursor, of the entries that are kept
//	safe:{id}:e  hash, the tombstone: where a removed history ended; it expires after 30 days
//
// Earlier releases kept the whole state after each entry in the stream, and the newest
// one in the head. Such histories can be used as they are: the newest state is read as
// a snapshot at the head, and the other ones are ignored. The first append brings the
// head forward. From then on, processes of earlier releases fail with ErrDamaged for
// this history, and change nothing: replace them by this release. There is no way back.
//
// An id whose last history ended more than 30 days ago may start in any epoch.
// Epochs made by replay.NewEpoch are later anyway, as long as clocks are not a
// month wrong.
//
// Batches are announced on the channel safe:{id}:a:0, where 0 is the number of
// the database; in a cluster on that shard alone. An empty message there has
// followers read the position. Every client that may write these keys or publish on
// these channels is trusted.
package redis
