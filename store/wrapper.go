package store

// As finds what a store implements beside [Store], such as [Notifier]: it returns s as a T, or the
// first store below s that is one. A store that wraps another has a method Unwrap() Store. ok is
// false if there is none.
func As[T any](s Store) (ability T, ok bool) {
	for s != nil {
		if ability, ok = s.(T); ok {
			return ability, true
		}
		wrapper, wraps := s.(interface{ Unwrap() Store })
		if !wraps {
			break
		}
		s = wrapper.Unwrap()
	}
	return ability, false
}

// IsLocal reports whether s, or the store that it wraps, lives in this process, so that its
// notifications are reliable.
func IsLocal(s Store) bool {
	local, ok := As[LocalStore](s)
	return ok && local.Local()
}

// NeverBlocks reports whether no call of s can block, so that calls need no deadline. That holds if
// s itself is a [LocalStore]; a store that wraps one may block.
func NeverBlocks(s Store) bool {
	local, ok := s.(LocalStore)
	return ok && local.Local()
}
