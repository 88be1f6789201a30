package store

import "github.com/google/uuid"

// Notifier is implemented by stores that can report changes as they happen. A notification may get
// lost, or come without a change: the receiver reads again, and polls besides. Only the
// notifications of a [LocalStore] are reliable.
type Notifier interface {
	// Notify sends to ch whenever something of the topic may have changed, until stop is called. It
	// never blocks: a send that ch has no room for is dropped, so ch should be buffered. stop may
	// be called more than once.
	Notify(topic Topic, ch chan<- struct{}) (stop func())
}

// LocalStore is implemented by stores that may live and die with this process. If Local returns
// true, notifications are reliable, so that nobody polls the store, and no call of it blocks.
type LocalStore interface{ Local() bool }

// Topic is what a notification is about: the state and log of one run if Run is set, else Kind.
type Topic struct {
	Run  uuid.UUID
	Kind TopicKind
}

// TopicKind is the kind of a notification that is not about one run.
type TopicKind uint8

// The kinds of notifications.
const (
	TopicWork   TopicKind = iota // a run may have become claimable, or a schedule may need planning
	TopicCancel                  // a claimed run is to be cancelled
)
