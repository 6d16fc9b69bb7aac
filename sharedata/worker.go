package sharedata

// worker runs one thing after the other on a goroutine of its own. A function is
// not run by the goroutine that waits for it, because it may never return; and
// not on a new goroutine each time, because the stack of that one grows to what
// functions need once only.
//
// It belongs to one goroutine, which calls its methods. The zero worker is ready.
type worker struct {
	calls chan func()
}

// start has do run. What was started before must have ended, or been abandoned.
func (w *worker) start(do func()) {
	if w.calls == nil {
		w.calls = make(chan func())
		go work(do, w.calls)
		return
	}
	w.calls <- do
}

// abandon leaves what runs to itself: its goroutine ends when it does.
func (w *worker) abandon() { w.stop() }

// stop ends the goroutine once it has nothing to do.
func (w *worker) stop() {
	if w.calls != nil {
		close(w.calls)
		w.calls = nil
	}
}

func work(do func(), next <-chan func()) {
	for more := true; more; do, more = <-next {
		do()
	}
}
