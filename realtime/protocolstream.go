package realtime

import (
	"net/http"

	"github.com/safe-go/safe/internal/wire"
	"github.com/safe-go/safe/schemas/codes"
)

// ServeEventStream serves a request with server-sent events in a protocol of the
// application: the same transport as that of ServeHTTP, with the same costs, hooks, limits
// and promises, but the text of each event is what Protocol.Encode has appended, with the
// empty line after it. The transport adds the field retry at the beginning, and a comment
// every heartbeat. Nothing is added at the end: a client that is disconnected comes back.
//
// Where Encode writes Message.Cursor as the field id, the client's Last-Event-ID
// (LastEventID) is the Subscription.Since with which it goes on.
//
// A request by another method than GET is answered with 405. One that cannot be served is
// answered as by ServeHTTP, and so is one for a single ShareData that does not exist or may
// not be seen. What is in the header of w is in that of the response.
// SessionOptions.AnswersPings has no meaning. The handler must return when ServeEventStream
// has returned.
func (s *Server) ServeEventStream(w http.ResponseWriter, r *http.Request, options *SessionOptions, subscriptions ...Subscription) {
	if options == nil || options.Protocol == nil || options.Protocol.Encode == nil || len(subscriptions) == 0 {
		s.log.Error("ServeEventStream needs SessionOptions.Protocol, its Encode, and a Subscription")
		reject(w, r, newProblem(http.StatusInternalServerError, codes.InternalError, "the event stream is not configured"))
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		reject(w, r, newProblem(http.StatusMethodNotAllowed, codes.InvalidMessage, "use GET"))
		return
	}
	subscribes := make([]*wire.Subscribe, len(subscriptions))
	for i, to := range subscriptions {
		subscribes[i] = to.request()
	}
	stream := func(s *Server, w http.ResponseWriter, r *http.Request, pending *pendingConnection, counted *admitted) bool {
		return s.streamEvents(w, r, pending, counted, subscribes, options.Protocol)
	}
	s.serveEndpoint(w, r, options.Caller, stream)
}
