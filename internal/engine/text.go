package engine

import "strings"

// maxMessage bounds the message of a state, in bytes.
const maxMessage = 16 << 10

// storable returns text as every store can keep it: valid UTF-8, without the NUL character, which
// PostgreSQL refuses. It replaces what is invalid with U+FFFD.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// bounded returns message as a state may have it: storable, and if it is longer than maxMessage,
// cut after a whole character and marked with "...".
func bounded(message string) string {
	message = storable(message)
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && message[cut]&0xC0 == 0x80 {
		cut--
	}
	return message[:cut] + "..."
}

// FirstNonEmpty returns the first value that is not "", or "" if there is none.
func FirstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
